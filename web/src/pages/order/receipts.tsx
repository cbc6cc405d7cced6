// The order's receipts: what left, when, how it ended and what it is charged as. One line per delivery.
import { Button, Space, Table, Tag } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { api, fetchClient, type Schemas } from "../../api/client";
import { count } from "../../format";
import { Loaded } from "../../parts/problem";
import { At, Id, NatureTag } from "../../parts/tags";

type Placed = Schemas["PlacedReceipt"];
type Opening = Schemas["Opening"];
type Totals = Schemas["Totals"];

/** A delivery put together from its records. */
export type Delivery = {
  receipt: string;
  at: string;
  opening?: Opening;
  totals?: Totals;
  /** `delivered`, the code of why it stopped, or nothing while it is open. */
  outcome?: string;
};

/** Puts records together into deliveries, newest first. */
export function deliveriesOf(records: Placed[]): Delivery[] {
  const deliveries = new Map<string, Delivery>();
  for (const { record } of records) {
    const delivery = deliveries.get(record.receipt) ?? { receipt: record.receipt, at: record.at };
    const body = record.body;
    if ("opened" in body) {
      delivery.opening = body.opened;
      delivery.at = record.at;
    } else if ("single" in body) {
      delivery.opening = body.single.opening;
      delivery.totals = body.single.totals;
      delivery.outcome = "delivered";
    } else if ("closed" in body) {
      delivery.totals = body.closed.totals;
      delivery.outcome = body.closed.outcome === "delivered" ? "delivered" : body.closed.outcome.stopped.code;
    }
    deliveries.set(record.receipt, delivery);
  }
  return [...deliveries.values()].reverse();
}

export function Receipts({ order }: { order: string }) {
  const params = { params: { path: { id: order }, query: { limit: 500 } } };
  const query = api.useQuery("get", "/api/v1/orders/{id}/receipts", params);
  return <Loaded query={query}>{(page) => <Deliveries key={page.items.length} order={order} first={page} />}</Loaded>;
}

function Deliveries({ order, first }: { order: string; first: Schemas["ReceiptPage"] }) {
  const { t } = useTranslation();
  const [records, setRecords] = useState(first.items);
  const [next, setNext] = useState(first.next_after ?? null);

  async function more() {
    if (next === null) return;
    const params = { path: { id: order }, query: { limit: 500, after: next } };
    const { data, error } = await fetchClient.GET("/api/v1/orders/{id}/receipts", { params });
    if (error) return;
    setRecords((known) => [...known, ...data.items]);
    setNext(data.next_after ?? null);
  }

  return (
    <div className="stack">
      <Table<Delivery>
        size="small"
        rowKey="receipt"
        scroll={{ x: "max-content" }}
        pagination={{ pageSize: 20, hideOnSinglePage: true }}
        dataSource={deliveriesOf(records)}
        locale={{ emptyText: t("order.noReceipts") }}
        columns={[
          { title: t("order.receipt"), dataIndex: "receipt", render: (id: string) => <Id id={id} /> },
          { title: t("order.at"), dataIndex: "at", render: (at: string) => <At at={at} /> },
          {
            title: t("order.mode"),
            key: "mode",
            render: (_, { opening }) =>
              opening && (
                <Space size={4}>
                  <Tag>{t(`mode.${opening.mode}`)}</Tag>
                  <NatureTag nature={opening.nature} />
                </Space>
              ),
          },
          { title: t("order.outcome"), key: "outcome", render: (_, delivery) => <Outcome delivery={delivery} /> },
          number(t("order.rows"), (totals) => totals.rows),
          number(t("order.answerRows"), (totals) => totals.answer_rows),
          number(t("order.bytes"), (totals) => totals.bytes),
          { title: t("order.charge"), key: "charge", render: (_, delivery) => <Charge delivery={delivery} /> },
          {
            title: t("lineage.columns"),
            key: "lineage",
            render: (_, { opening }) => <Lineage lineage={opening?.lineage} />,
          },
          {
            title: t("order.snapshots"),
            key: "snapshots",
            render: (_, { opening }) =>
              opening?.snapshots.map((snapshot) => (
                <div key={snapshot} className="id" title={snapshot}>
                  {snapshot.replace(/^(res_).*(.{6}@)/, "$1…$2")}
                </div>
              )),
          },
        ]}
      />
      {next !== null && <Button onClick={() => void more()}>{t("app.more")}</Button>}
    </div>
  );
}

/** The product's columns that values were made of, and those that rows were chosen by. */
function Lineage({ lineage }: { lineage?: Schemas["AnswerLineage"] | null }) {
  const { t } = useTranslation();
  if (!lineage) return "—";
  const values = [...new Set(lineage.columns.flatMap((column) => column.from))].sort();
  const conditions = [...lineage.conditions].sort();
  return (
    <div className="stack" style={{ gap: 2, maxWidth: 320, whiteSpace: "normal" }}>
      {values.length > 0 && (
        <span>
          <Tag color="blue">{t("lineage.values")}</Tag>
          <code>{values.join(", ")}</code>
        </span>
      )}
      {conditions.length > 0 && (
        <span>
          <Tag>{t("lineage.condition")}</Tag>
          <code>{conditions.join(", ")}</code>
        </span>
      )}
      {lineage.at_most && <Tag color="orange">{t("lineage.atMost")}</Tag>}
    </div>
  );
}

function number(title: string, of: (totals: Totals) => number) {
  return {
    title,
    key: title,
    align: "right" as const,
    render: (_: unknown, { totals }: Delivery) => (totals ? <span className="money">{count(of(totals))}</span> : "—"),
  };
}

function Outcome({ delivery }: { delivery: Delivery }) {
  const { t } = useTranslation();
  if (!delivery.outcome) return <Tag>{t("order.open")}</Tag>;
  if (delivery.outcome === "delivered") return <Tag color="green">{t("order.delivered")}</Tag>;
  return <Tag color="orange">{t("order.stopped", { code: delivery.outcome })}</Tag>;
}

function Charge({ delivery }: { delivery: Delivery }) {
  const { t } = useTranslation();
  const { totals, outcome } = delivery;
  if (!totals || outcome !== "delivered") return "—";
  const parts = [];
  if (totals.calls > 0) parts.push(t("order.calls", { count: totals.calls }));
  if (totals.data_sets > 0) parts.push(t("order.dataSets", { count: totals.data_sets }));
  return parts.join(" ") || "—";
}
