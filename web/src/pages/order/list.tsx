// The orders that the viewer may see.
import { Link } from "@tanstack/react-router";
import { Space, Table, Tag } from "antd";
import { useTranslation } from "react-i18next";
import { fetchClient, type Schemas } from "../../api/client";
import { More, usePages } from "../../parts/pages";
import { useNameOf } from "../../parts/parties";
import { Loaded } from "../../parts/problem";
import { At, Id, StateTag } from "../../parts/tags";
import { Title } from "../../parts/title";

export function OrderListPage() {
  const { t } = useTranslation();
  const nameOf = useNameOf();
  const query = usePages<Schemas["Entry_Order"]>(["order"], (cursor) =>
    fetchClient.GET("/api/v1/orders", { params: { query: { limit: 50, cursor } } }),
  );
  return (
    <>
      <Title text={t("nav.orders")} />
      <Loaded query={query}>
        {(items) => (
          <Table<Schemas["Entry_Order"]>
            rowKey="id"
            pagination={false}
            scroll={{ x: "max-content" }}
            dataSource={items}
            locale={{ emptyText: t("order.empty") }}
            columns={[
              {
                title: t("order.product"),
                key: "product",
                render: (_, entry) => (
                  <Link to="/orders/$id" params={{ id: entry.id }}>
                    {nameOf(entry.body.details.product)}
                  </Link>
                ),
              },
              { title: t("order.consumer"), key: "consumer", render: (_, entry) => nameOf(entry.body.consumer) },
              {
                title: t("market.modes"),
                key: "modes",
                render: (_, entry) => (
                  <Space size={4}>
                    {entry.body.details.modes.map((mode) => (
                      <Tag key={mode}>{t(`mode.${mode}`)}</Tag>
                    ))}
                  </Space>
                ),
              },
              {
                title: t("order.purpose"),
                key: "purpose",
                render: (_, entry) => <code>{entry.body.details.purpose}</code>,
              },
              { title: t("inbox.state"), dataIndex: "state", render: (state: string) => <StateTag state={state} /> },
              { title: t("inbox.updated"), dataIndex: "updated_at", render: (at: string) => <At at={at} /> },
              { title: t("record.id"), dataIndex: "id", render: (id: string) => <Id id={id} /> },
            ]}
          />
        )}
      </Loaded>
      <More query={query} />
    </>
  );
}
