// The main facts of an entity, for those kinds that people decide on; everything else stands below in full.
import { Link } from "@tanstack/react-router";
import { Descriptions, type DescriptionsProps, Space, Tag } from "antd";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { api, type Schemas } from "../../api/client";
import { percent, shortId } from "../../format";
import { Original } from "../../parts/original";
import { useNameOf } from "../../parts/parties";
import { At } from "../../parts/tags";
import { KINDS, type Kind } from "./kinds";

type Rows = NonNullable<DescriptionsProps["items"]>;

export function Summary({ kind, body }: { kind: Kind; body: unknown }) {
  const rows = useRows(kind, body);
  if (rows.length === 0) return null;
  return <Descriptions bordered size="small" column={{ xs: 1, md: 2 }} items={rows} />;
}

function useRows(kind: Kind, body: unknown): Rows {
  const { t } = useTranslation();
  const nameOf = useNameOf();
  const row = (key: string, children: ReactNode) => ({ key, label: t(`summary.${key}`), children });
  switch (kind) {
    case "party": {
      const party = body as Schemas["Party"];
      return [
        row("creditCode", party.credit_code),
        row(
          "roles",
          party.roles.map((role) => <Tag key={role}>{t(`role.${role}`)}</Tag>),
        ),
        row("tier", t(`tier.${party.tier}`)),
        row("division", party.division),
      ];
    }
    case "mandate": {
      const { details, signatures, stage } = body as Schemas["Mandate"];
      return [
        ...reasonOf(stage, row),
        row("operator", nameOf(details.operator)),
        row("plan", <RecordLink kind="plan" id={details.plan} />),
        row("term", <TermView term={details.term} />),
        row("selection", <Original text={details.selection} />),
        row("treasury", `${nameOf(details.revenue.treasury)} ${percent(details.revenue.treasury_rate)}`),
        row(
          "providers",
          Object.entries(details.revenue.provider_rates).map(([party, rate]) => (
            <div key={party}>
              {nameOf(party)} {percent(rate)}
            </div>
          )),
        ),
        row(
          "signatures",
          Object.keys(signatures).map((party) => <div key={party}>{nameOf(party)}</div>),
        ),
        row("items", <Items items={details.items} />),
        row("clauses", <Original text={details.clauses} />),
      ];
    }
    case "permit": {
      const { details, confirmations, opinion, stage, operator } = body as Schemas["Permit"];
      return [
        ...reasonOf(stage, row),
        row("operator", nameOf(operator)),
        row("mandate", <RecordLink kind="mandate" id={details.mandate} />),
        row("competent", nameOf(details.competent)),
        row("opinion", <Original text={opinion?.text ?? "—"} />),
        row("purposes", details.purposes.join(t("app.separator"))),
        row(
          "confirmations",
          Object.entries(confirmations).map(([party, by]) => (
            <div key={party}>
              {nameOf(party)} {by === null && <Tag>{t("summary.pending")}</Tag>}
            </div>
          )),
        ),
        row("items", <Items items={details.items} />),
        row("justification", <Original text={details.justification} />),
      ];
    }
    case "supply": {
      const { resource, implementer, need, stage } = body as Schemas["Supply"];
      return [
        ...reasonOf(stage, row),
        row("resource", nameOf(resource)),
        row("implementer", nameOf(implementer)),
        row("need", <Original text={need} />),
      ];
    }
    case "right": {
      const right = body as Schemas["Right"];
      return [
        row("kindOfRight", t(`right.${right.kind}`)),
        row("holder", nameOf(right.holder)),
        row("object", nameOf(right.object)),
        row("term", <TermView term={right.term} />),
      ];
    }
    case "ticket": {
      const { resource, stage } = body as Schemas["Ticket"];
      const [answer] =
        typeof stage === "object" ? (Object.values(stage) as { answer: string; verification?: string }[]) : [];
      return [
        row("resource", nameOf(resource)),
        ...(answer ? [row("answer", <Original text={answer.answer} />)] : []),
        ...(answer?.verification ? [row("verification", <Original text={answer.verification} />)] : []),
      ];
    }
    default:
      return [];
  }
}

/** Why it is in its state, where somebody gave a reason. */
function reasonOf(stage: unknown, row: (key: string, children: ReactNode) => Rows[number]): Rows {
  if (typeof stage !== "object" || stage === null) return [];
  const [detail] = Object.values(stage) as unknown[];
  if (typeof detail !== "object" || detail === null || !("reason" in detail)) return [];
  return [row("reason", <Original text={String(detail.reason)} />)];
}

function TermView({ term }: { term: Schemas["Term"] }) {
  return (
    <>
      <At at={term.from} /> – <At at={term.until} />
    </>
  );
}

function RecordLink({ kind, id }: { kind: Kind; id: string }) {
  const entry = api.useQuery("get", KINDS[kind][1], { params: { path: { id } } }).data;
  return (
    <Link to="/records/$kind/$id" params={{ kind, id }}>
      <Original text={entry?.title ?? shortId(id)} />
    </Link>
  );
}

function Items({ items }: { items: Record<string, Schemas["Narrowing"]> }) {
  const { t } = useTranslation();
  const nameOf = useNameOf();
  return Object.entries(items).map(([resource, narrowing]) => (
    <div key={resource}>
      <Link to="/resources/$id" params={{ id: resource }}>
        {nameOf(resource)}
      </Link>
      <div className="reason">
        {narrowing.columns
          ? `${t("summary.columns")} ${Object.keys(narrowing.columns).join(", ")}`
          : t("summary.allColumns")}
      </div>
      <Space size={4} wrap>
        {narrowing.modes ? (
          narrowing.modes.map((mode) => <Tag key={mode}>{t(`mode.${mode}`)}</Tag>)
        ) : (
          <Tag>{t("summary.allModes")}</Tag>
        )}
      </Space>
    </div>
  ));
}
