// How to fetch data with this order: a command line for each mode it has. The key itself is never shown here.
import { Typography } from "antd";
import { useTranslation } from "react-i18next";
import type { Schemas } from "../../api/client";

const AUTHORISATION = '-H "Authorization: Bearer $LINGQU_KEY"';
const JSON_BODY = '-H "Content-Type: application/json"';

/** The command lines, one per mode of the order. */
export function snippets(base: string, table: string, key: string[], column: string, modes: string[]): string[] {
  const at = `${base}/data/v1/${table}`;
  const keys = JSON.stringify(Object.fromEntries(key.map((name) => [name, "…"])));
  const lines: string[] = [];
  if (modes.includes("verification")) {
    lines.push(
      `curl ${AUTHORISATION} ${JSON_BODY} \\\n  -d '{"key":${keys},"claim":{"${column}":"…"}}' \\\n  ${at}/verify`,
    );
  }
  if (modes.includes("statistics")) {
    lines.push(
      `curl ${AUTHORISATION} ${JSON_BODY} \\\n  -d '{"sql":"SELECT count(*) FROM ${table}"}' \\\n  ${at}/query`,
    );
  }
  if (modes.includes("lookup")) {
    lines.push(`curl ${AUTHORISATION} "${at}/lookup/${key.map(() => "…").join(",")}"`);
  }
  if (modes.includes("rows")) {
    lines.push(`curl ${AUTHORISATION} "${at}/rows?limit=100"`);
  }
  if (modes.includes("file")) {
    lines.push(`curl ${AUTHORISATION} -o ${table}.parquet "${at}/export?format=parquet"`);
  }
  return lines;
}

export function Access({ entry, offer }: { entry: Schemas["Entry_Order"]; offer: Schemas["Offer"] | undefined }) {
  const { t } = useTranslation();
  const product = entry.body.details.product;
  const table = offer?.item.table ?? product;
  const key = offer?.key ?? [];
  const column = offer?.columns.find((column) => !key.includes(column.name))?.name ?? "…";
  const lines = snippets(window.location.origin, table, key, column, entry.body.details.modes);
  return (
    <div className="stack">
      <p>{t("order.curl")}</p>
      {lines.map((line) => (
        <Typography.Paragraph key={line} copyable={{ text: line, tooltips: [t("app.copy"), t("app.copied")] }}>
          <pre className="block">{line}</pre>
        </Typography.Paragraph>
      ))}
    </div>
  );
}
