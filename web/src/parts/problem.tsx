// The states of a page besides the full one: waiting, refused or failed, empty.
import { Link } from "@tanstack/react-router";
import { Alert, Button, Empty, Spin } from "antd";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { isProblem } from "../api/client";

/** Shown while something is on its way. */
export function Waiting() {
  const { t } = useTranslation();
  return (
    <div role="status" style={{ padding: 48, textAlign: "center" }}>
      <Spin /> <span>{t("app.loading")}</span>
    </div>
  );
}

/** The node's own sentence in the page's language, with its code. */
export function useSentence(error: unknown): { title: string; detail: string } {
  const { t, i18n } = useTranslation();
  if (!isProblem(error)) {
    return { title: t("app.problem"), detail: error instanceof Error ? error.message : String(error) };
  }
  const isEnglish = i18n.language === "en";
  const correlation = error.correlation ? ` (${t("app.correlation", { id: error.correlation })})` : "";
  return {
    title: isEnglish ? error.title_en : error.title,
    detail: `${isEnglish ? error.detail_en : error.detail}${correlation}`,
  };
}

/** A refusal or a fault: what the node said and, where asking again may help, a button. */
export function ProblemView({ error, retry }: { error: unknown; retry?: () => void }) {
  const { t } = useTranslation();
  const { title, detail } = useSentence(error);
  return (
    <Alert
      type="error"
      showIcon
      title={title}
      description={
        <>
          {detail}
          {isProblem(error) && (
            <div className="id">
              {t("app.code")}: {error.code}
            </div>
          )}
        </>
      }
      action={
        retry && (
          <Button size="small" onClick={retry}>
            {t("app.retry")}
          </Button>
        )
      }
    />
  );
}

/** Nothing to show, and what to do about it. */
export function Nothing({ text }: { text?: string }) {
  const { t } = useTranslation();
  return <Empty image={Empty.PRESENTED_IMAGE_SIMPLE} description={text ?? t("app.empty")} />;
}

type Asked<T> = { data: T | undefined; error: unknown; isPending: boolean; refetch: () => unknown };

/** Shows a query in whichever state it is. */
export function Loaded<T>({ query, children }: { query: Asked<T>; children: (data: T) => ReactNode }) {
  if (query.data !== undefined) return children(query.data);
  if (query.error) return <ProblemView error={query.error} retry={() => void query.refetch()} />;
  return <Waiting />;
}

/** An address that is no page. */
export function NotFound() {
  const { t } = useTranslation();
  return (
    <div style={{ padding: 48, textAlign: "center" }}>
      <p>{t("app.notFound")}</p>
      <Link to="/">{t("app.backToMarket")}</Link>
    </div>
  );
}
