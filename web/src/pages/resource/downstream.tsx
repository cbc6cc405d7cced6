// Who received what came from a column: the products and orders that use it, and the deliveries that did.
import { Link } from "@tanstack/react-router";
import { Input, Select, Space, Table, Tag } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { fetchClient, type Schemas } from "../../api/client";
import { Original } from "../../parts/original";
import { More, usePages } from "../../parts/pages";
import { Loaded } from "../../parts/problem";
import { At, Id, NatureTag, StateTag } from "../../parts/tags";

type Downstream = Schemas["DownstreamItem"];
type Delivered = Schemas["DeliveredItem"];
/** Days in Beijing, the last one included; empty where there is no bound. */
type Days = { first: string; last: string };

export function Downstream({ resource, columns }: { resource: string; columns: string[] }) {
  const { t } = useTranslation();
  const [column, setColumn] = useState(columns[0] ?? "");
  const [days, setDays] = useState<Days>({ first: "", last: "" });
  return (
    <div className="stack">
      <Space wrap>
        <label htmlFor="lineage-column">{t("product.column")}</label>
        <Select
          id="lineage-column"
          style={{ minWidth: 200 }}
          showSearch
          value={column}
          onChange={setColumn}
          options={columns.map((name) => ({ value: name, label: <code>{name}</code> }))}
        />
      </Space>
      <h3>{t("lineage.used")}</h3>
      <Uses resource={resource} column={column} />
      <Space wrap>
        <h3>{t("lineage.received")}</h3>
        <label htmlFor="lineage-first">{t("lineage.from")}</label>
        <Input
          id="lineage-first"
          type="date"
          value={days.first}
          onChange={(event) => setDays({ ...days, first: event.target.value })}
        />
        <label htmlFor="lineage-last">{t("lineage.to")}</label>
        <Input
          id="lineage-last"
          type="date"
          value={days.last}
          onChange={(event) => setDays({ ...days, last: event.target.value })}
        />
      </Space>
      <Deliveries resource={resource} column={column} days={days} />
    </div>
  );
}

function Uses({ resource, column }: { resource: string; column: string }) {
  const { t } = useTranslation();
  const query = usePages<Downstream>(["downstream", resource, column], async (cursor) => {
    const params = { path: { id: resource, column }, query: { limit: 50, cursor } };
    return fetchClient.GET("/api/v1/lineage/resources/{id}/columns/{column}/downstream", { params });
  });
  return (
    <>
      <Loaded query={query}>
        {(items) => (
          <Table<Downstream>
            size="small"
            rowKey={(item) => `${item.product}/${item.order ?? ""}`}
            pagination={false}
            scroll={{ x: "max-content" }}
            dataSource={items}
            locale={{ emptyText: t("lineage.notUsed") }}
            columns={[
              {
                title: t("kind.product"),
                key: "product",
                render: (_, item) => (
                  <Link to="/products/$id" params={{ id: item.product }}>
                    <Original text={item.product_name} />
                  </Link>
                ),
              },
              { title: t("lineage.columns"), key: "columns", render: (_, item) => <Names names={item.columns} /> },
              {
                title: t("lineage.use"),
                key: "use",
                render: (_, item) => <Use values={item.columns.length > 0} condition={item.condition} />,
              },
              {
                title: t("kind.order"),
                key: "order",
                render: (_, item) =>
                  item.order ? (
                    <Link to="/orders/$id" params={{ id: item.order }}>
                      <Id id={item.order} plain />
                    </Link>
                  ) : (
                    "—"
                  ),
              },
              { title: t("lineage.consumer"), key: "consumer", render: (_, item) => <Consumer item={item} /> },
              {
                title: t("inbox.state"),
                key: "state",
                render: (_, item) => <StateTag state={item.order_state ?? item.product_state} />,
              },
            ]}
          />
        )}
      </Loaded>
      <More query={query} />
    </>
  );
}

function Deliveries({ resource, column, days }: { resource: string; column: string; days: Days }) {
  const { t } = useTranslation();
  const from = moment(days.first, 0);
  const to = moment(days.last, 1);
  const query = usePages<Delivered>(["deliveries", resource, column, from, to], async (cursor) => {
    const params = { path: { id: resource, column }, query: { limit: 50, cursor, from, to } };
    return fetchClient.GET("/api/v1/lineage/resources/{id}/columns/{column}/deliveries", { params });
  });
  return (
    <>
      <Loaded query={query}>
        {(items) => (
          <Table<Delivered>
            size="small"
            rowKey="receipt"
            pagination={false}
            scroll={{ x: "max-content" }}
            dataSource={items}
            locale={{ emptyText: t("lineage.noDelivery") }}
            columns={[
              { title: t("order.receipt"), dataIndex: "receipt", render: (id: string) => <Id id={id} /> },
              { title: t("order.at"), dataIndex: "at", render: (at: string) => <At at={at} /> },
              { title: t("lineage.consumer"), key: "consumer", render: (_, item) => <Consumer item={item} /> },
              { title: t("order.purpose"), dataIndex: "purpose", render: (purpose: string) => <code>{purpose}</code> },
              {
                title: t("order.mode"),
                key: "mode",
                render: (_, item) => (
                  <Space size={4}>
                    <Tag>{t(`mode.${item.mode}`)}</Tag>
                    <NatureTag nature={item.nature} />
                  </Space>
                ),
              },
              { title: t("lineage.columns"), key: "columns", render: (_, item) => <Names names={item.columns} /> },
              {
                title: t("lineage.use"),
                key: "use",
                render: (_, item) => <Use values={item.values} condition={item.condition} atMost={item.at_most} />,
              },
              {
                title: t("kind.order"),
                key: "order",
                render: (_, item) => (
                  <Link to="/orders/$id" params={{ id: item.order }}>
                    <Id id={item.order} plain />
                  </Link>
                ),
              },
            ]}
          />
        )}
      </Loaded>
      <More query={query} />
    </>
  );
}

/** Midnight in Beijing at the beginning of a day, or so many days later. */
function moment(day: string, later: number): string | undefined {
  if (day === "") return undefined;
  const begin = new Date(`${day}T00:00:00+08:00`);
  return new Date(begin.getTime() + later * 86_400_000).toISOString();
}

function Consumer({ item }: { item: { consumer_name?: string | null; consumer_name_en?: string | null } }) {
  const { i18n } = useTranslation();
  const name = i18n.language === "en" ? item.consumer_name_en || item.consumer_name : item.consumer_name;
  return <span>{name ?? "—"}</span>;
}

function Names({ names }: { names: string[] }) {
  return names.length === 0 ? "—" : <code>{names.join(", ")}</code>;
}

/** Whether values are made of a column, rows are chosen by it, or no more is known than that they may be. */
function Use({ values, condition, atMost = false }: { values: boolean; condition: boolean; atMost?: boolean }) {
  const { t } = useTranslation();
  return (
    <Space size={4} wrap>
      {values && <Tag color="blue">{t("lineage.values")}</Tag>}
      {condition && <Tag>{t("lineage.condition")}</Tag>}
      {atMost && <Tag color="orange">{t("lineage.atMost")}</Tag>}
    </Space>
  );
}
