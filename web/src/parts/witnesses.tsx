// Who cosigns this node's logs and how far each has come, and the logs that this node cosigns.
import { Card, Table } from "antd";
import { useTranslation } from "react-i18next";
import { api, type Schemas } from "../api/client";
import { count } from "../format";
import { Loaded, Nothing } from "./problem";
import { At } from "./tags";

export function Witnesses() {
  const { t } = useTranslation();
  const query = api.useQuery("get", "/api/v1/witnesses");
  return (
    <Loaded query={query}>
      {({ asked, watched }) => (
        <div className="stack">
          <Card title={t("witness.title")} size="small">
            {asked.length === 0 ? (
              <Nothing text={t("witness.none")} />
            ) : (
              <Table<Schemas["AskedWitness"]>
                size="small"
                pagination={false}
                rowKey="vkey"
                dataSource={asked}
                scroll={{ x: true }}
                columns={[
                  { title: t("witness.url"), dataIndex: "url" },
                  {
                    title: t("witness.log"),
                    dataIndex: "of_twin",
                    render: (isTwin: boolean) => (isTwin ? t("witness.twin") : t("witness.first")),
                  },
                  {
                    title: t("witness.size"),
                    dataIndex: "size",
                    render: (size?: number) => (size === undefined ? t("witness.never") : count(size)),
                  },
                  { title: t("witness.behind"), dataIndex: "behind", render: (behind: number) => count(behind) },
                  {
                    title: t("witness.at"),
                    dataIndex: "cosigned_at",
                    render: (at?: number) => (at === undefined ? "—" : <At at={new Date(at * 1000).toISOString()} />),
                  },
                  {
                    title: t("witness.outcome"),
                    dataIndex: "outcome",
                    render: (outcome: string | undefined, { answer }) => (
                      <span title={answer ?? undefined}>{outcome ? t(`witness.outcomes.${outcome}`) : "—"}</span>
                    ),
                  },
                ]}
              />
            )}
          </Card>
          {watched.length > 0 && (
            <Card title={t("witness.watchedTitle")} size="small">
              <Table<Schemas["WitnessedLog"]>
                size="small"
                pagination={false}
                rowKey="origin"
                dataSource={watched}
                scroll={{ x: true }}
                columns={[
                  {
                    title: t("witness.origin"),
                    dataIndex: "origin",
                    render: (origin: string, { is_watched }) =>
                      is_watched ? origin : `${origin} (${t("witness.former")})`,
                  },
                  {
                    title: t("witness.size"),
                    dataIndex: "size",
                    render: (size?: number) => (size === undefined ? t("witness.never") : count(size)),
                  },
                ]}
              />
            </Card>
          )}
        </div>
      )}
    </Loaded>
  );
}
