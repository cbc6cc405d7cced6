// What the rules found in a resource's snapshots, and the tickets that came of it.
import { Table, Tag } from "antd";
import { useTranslation } from "react-i18next";
import { api, type Schemas } from "../../api/client";
import { civilDay, count } from "../../format";
import { CommandButtons } from "../../parts/commands";
import { Loaded } from "../../parts/problem";
import { At, Id, StateTag } from "../../parts/tags";

export function Quality({ resource }: { resource: string }) {
  return (
    <div className="stack">
      <Reports resource={resource} />
      <Tickets resource={resource} />
    </div>
  );
}

function useRuleColumns() {
  const { t, i18n } = useTranslation();
  return [
    {
      title: t("resource.rule"),
      key: "rule",
      render: (_: unknown, result: Schemas["RuleResult"]) => (
        <>
          {i18n.language === "en" ? result.sentence_en : result.sentence}
          <div className="id">{result.rule}</div>
        </>
      ),
    },
    {
      title: t("resource.dimension"),
      dataIndex: "dimension",
      render: (dimension: string) => t(`dimension.${dimension}`, { defaultValue: dimension }),
    },
    { title: t("product.column"), dataIndex: "column", render: (column: string) => <code>{column}</code> },
    { title: t("resource.checked"), dataIndex: "checked_count", align: "right" as const, render: count },
    {
      title: t("resource.failing"),
      dataIndex: "failing_count",
      align: "right" as const,
      render: (failing: number) => (failing > 0 ? <strong>{count(failing)}</strong> : count(failing)),
    },
  ];
}

function Reports({ resource }: { resource: string }) {
  const { t } = useTranslation();
  const columns = useRuleColumns();
  const params = { params: { query: { owner: resource, limit: 20 } } };
  const query = api.useQuery("get", "/api/v1/quality-reports", params);
  return (
    <section>
      <h3>{t("resource.reports")}</h3>
      <Loaded query={query}>
        {(page) => (
          <Table<Schemas["Entry_QualityReport"]>
            size="small"
            rowKey="id"
            pagination={false}
            scroll={{ x: "max-content" }}
            dataSource={page.items}
            locale={{ emptyText: t("resource.noReport") }}
            expandable={{
              defaultExpandedRowKeys: page.items.slice(0, 1).map((entry) => entry.id),
              expandedRowRender: (entry) => (
                <Table<Schemas["RuleResult"]>
                  scroll={{ x: "max-content" }}
                  size="small"
                  rowKey="rule"
                  pagination={{ pageSize: 50, hideOnSinglePage: true }}
                  dataSource={entry.body.results}
                  columns={columns}
                />
              ),
            }}
            columns={[
              { title: t("record.created"), dataIndex: "created_at", render: (at: string) => <At at={at} /> },
              { title: t("inbox.state"), dataIndex: "state", render: (state: string) => <StateTag state={state} /> },
              {
                title: t("resource.failing"),
                key: "failing",
                render: (_, entry) => {
                  const failing = entry.body.results.filter((result) => result.failing_count > 0).length;
                  return `${failing} / ${entry.body.results.length}`;
                },
              },
              { title: t("record.id"), dataIndex: "id", render: (id: string) => <Id id={id} /> },
            ]}
          />
        )}
      </Loaded>
    </section>
  );
}

function Tickets({ resource }: { resource: string }) {
  const { t, i18n } = useTranslation();
  const query = api.useQuery("get", "/api/v1/tickets", { params: { query: { limit: 200 } } });
  return (
    <section>
      <h3>{t("resource.tickets")}</h3>
      <Loaded query={query}>
        {(page) => (
          <Table<Schemas["Entry_Ticket"]>
            size="small"
            rowKey="id"
            pagination={{ pageSize: 20, hideOnSinglePage: true }}
            scroll={{ x: "max-content" }}
            dataSource={page.items.filter((entry) => entry.body.resource === resource)}
            locale={{ emptyText: t("resource.noTicket") }}
            columns={[
              {
                title: t("resource.rule"),
                key: "rule",
                render: (_, entry) =>
                  i18n.language === "en" ? entry.body.result.sentence_en : entry.body.result.sentence,
              },
              {
                title: t("resource.failing"),
                key: "failing",
                align: "right",
                render: (_, entry) => count(entry.body.result.failing_count),
              },
              {
                title: t("resource.deadline"),
                key: "deadline",
                render: (_, entry) => (
                  <>
                    {civilDay(entry.body.deadline.on, i18n.language)}{" "}
                    {entry.body.deadline.provisional && <Tag>{t("resource.provisional")}</Tag>}
                  </>
                ),
              },
              { title: t("inbox.state"), dataIndex: "state", render: (state: string) => <StateTag state={state} /> },
              {
                title: t("inbox.actions"),
                key: "actions",
                render: (_, entry) => (
                  <CommandButtons choices={entry.commands} entity={entry.id} version={entry.stream_version} compact />
                ),
              },
            ]}
          />
        )}
      </Loaded>
    </section>
  );
}
