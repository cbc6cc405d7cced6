// A register (台账): the entities of one kind, newest first.
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { Button, Select, Space, Table } from "antd";
import { useTranslation } from "react-i18next";
import { fetchClient, type Schemas } from "../../api/client";
import { EntityTitle } from "../../parts/original";
import { More, usePages } from "../../parts/pages";
import { useNameOf } from "../../parts/parties";
import { Loaded, NotFound } from "../../parts/problem";
import { At, Id, StateTag } from "../../parts/tags";
import { Title } from "../../parts/title";
import { isKind, KINDS, type Kind } from "./kinds";

/** What every entity shows in a list. */
type Row = Omit<Schemas["Entry_Mandate"], "body">;

export function RecordListPage() {
  const { kind } = useParams({ from: "/frame/records/$kind" });
  return isKind(kind) ? <Register kind={kind} /> : <NotFound />;
}

function Register({ kind }: { kind: Kind }) {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const nameOf = useNameOf();
  const { state } = useSearch({ from: "/frame/records/$kind" });
  const query = usePages<Row>([kind, state], (cursor) =>
    fetchClient.GET(KINDS[kind][0], { params: { query: { limit: 50, cursor, state } } }),
  );
  return (
    <>
      <Title text={`${t("nav.records")} · ${t(`kind.${kind}`)}`}>
        <Select
          aria-label={t("inbox.kind")}
          style={{ minWidth: 160 }}
          value={kind}
          onChange={(next) => void navigate({ to: "/records/$kind", params: { kind: next } })}
          options={(Object.keys(KINDS) as Kind[]).map((each) => ({ value: each, label: t(`kind.${each}`) }))}
        />
      </Title>
      <Loaded query={query}>
        {(items) => (
          <div className="stack">
            <Table<Row>
              rowKey="id"
              pagination={false}
              scroll={{ x: "max-content" }}
              dataSource={items}
              columns={[
                {
                  title: t("record.title"),
                  key: "title",
                  render: (_, entry) => (
                    <Link to="/records/$kind/$id" params={{ kind, id: entry.id }}>
                      <EntityTitle id={entry.id} title={entry.title} />
                    </Link>
                  ),
                },
                {
                  title: (
                    <Space>
                      {t("record.state")}
                      {state && (
                        <Button size="small" onClick={() => void navigate({ to: ".", search: {} })}>
                          {t("record.all")}
                        </Button>
                      )}
                    </Space>
                  ),
                  dataIndex: "state",
                  render: (each: string) => (
                    <Link
                      to="/records/$kind"
                      params={{ kind }}
                      search={{ state: each }}
                      title={t("record.filterState")}
                    >
                      <StateTag state={each} />
                    </Link>
                  ),
                },
                { title: t("record.owner"), dataIndex: "owner", render: (owner: string) => nameOf(owner) },
                { title: t("record.updated"), dataIndex: "updated_at", render: (at: string) => <At at={at} /> },
                { title: t("record.id"), dataIndex: "id", render: (id: string) => <Id id={id} /> },
              ]}
            />
            <More query={query} />
          </div>
        )}
      </Loaded>
    </>
  );
}
