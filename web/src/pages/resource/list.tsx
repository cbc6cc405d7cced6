// The catalogue of resources.
import { Link } from "@tanstack/react-router";
import { Table } from "antd";
import { useTranslation } from "react-i18next";
import { fetchClient, type Schemas } from "../../api/client";
import { count } from "../../format";
import { More, usePages } from "../../parts/pages";
import { useNameOf } from "../../parts/parties";
import { Loaded } from "../../parts/problem";
import { At, NatureTag, StateTag } from "../../parts/tags";
import { Title } from "../../parts/title";

export function ResourceListPage() {
  const { t, i18n } = useTranslation();
  const nameOf = useNameOf();
  const query = usePages<Schemas["Entry_Resource"]>(["resource"], (cursor) =>
    fetchClient.GET("/api/v1/resources", { params: { query: { limit: 50, cursor } } }),
  );
  return (
    <>
      <Title text={t("nav.resources")} />
      <Loaded query={query}>
        {(items) => (
          <Table<Schemas["Entry_Resource"]>
            rowKey="id"
            pagination={false}
            scroll={{ x: "max-content" }}
            dataSource={items}
            locale={{ emptyText: t("resource.empty") }}
            columns={[
              {
                title: t("record.title"),
                key: "name",
                render: (_, entry) => (
                  <Link to="/resources/$id" params={{ id: entry.id }}>
                    {i18n.language === "en" ? entry.body.details.name_en : entry.body.details.name}
                  </Link>
                ),
              },
              {
                title: t("market.table"),
                key: "table",
                render: (_, entry) => <code>{entry.body.details.table}</code>,
              },
              {
                title: "",
                key: "nature",
                render: (_, entry) => <NatureTag nature={entry.body.details.nature} />,
              },
              { title: t("resource.provider"), key: "provider", render: (_, entry) => nameOf(entry.body.provider) },
              {
                title: t("resource.openness"),
                key: "openness",
                render: (_, entry) => t(`resource.open_${entry.body.details.openness}`),
              },
              {
                title: t("resource.rows"),
                key: "rows",
                align: "right",
                render: (_, entry) => (entry.body.snapshot ? count(entry.body.snapshot.rows) : "—"),
              },
              { title: t("inbox.state"), dataIndex: "state", render: (state: string) => <StateTag state={state} /> },
              { title: t("inbox.updated"), dataIndex: "updated_at", render: (at: string) => <At at={at} /> },
            ]}
          />
        )}
      </Loaded>
      <More query={query} />
    </>
  );
}
