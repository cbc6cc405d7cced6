// The node: what it is, which rules are in force, and the signed head of its log.
import { Card, Descriptions, Space } from "antd";
import { useTranslation } from "react-i18next";
import { api } from "../api/client";
import { count } from "../format";
import { Loaded, Nothing } from "../parts/problem";
import { At, Id } from "../parts/tags";
import { Title } from "../parts/title";
import { Witnesses } from "../parts/witnesses";

export function NodePage() {
  const { t } = useTranslation();
  const query = api.useQuery("get", "/api/v1/node");
  const consents = api.useQuery("get", "/api/v1/consents/counts");
  return (
    <>
      <Title text={t("node.title")} />
      <Loaded query={query}>
        {(node) => (
          <div className="stack">
            <Descriptions
              bordered
              size="small"
              column={{ xs: 1, md: 2 }}
              items={[
                { key: "id", label: t("node.id"), children: node.id ? <Id id={node.id} whole /> : "—" },
                { key: "tier", label: t("node.tier"), children: node.tier ? t(`tier.${node.tier}`) : "—" },
                { key: "division", label: t("node.division"), children: node.division ?? "—" },
                { key: "rulebook", label: t("node.rulebook"), children: node.rulebook_version },
                { key: "calendar", label: t("node.calendar"), children: node.calendar_version },
                { key: "program", label: t("node.program"), children: node.program_version },
                { key: "position", label: t("node.position"), children: count(node.position) },
                { key: "now", label: t("node.now"), children: <At at={node.now} /> },
              ]}
            />
            {consents.data && (
              <Card title={t("node.consents")} size="small">
                <Space size={24}>
                  <span>
                    {t("node.given")} {count(consents.data.given)}
                  </span>
                  <span>
                    {t("node.inForce")} {count(consents.data.in_force)}
                  </span>
                  <span>
                    {t("node.withdrawn")} {count(consents.data.withdrawn)}
                  </span>
                </Space>
              </Card>
            )}
            <Card title={t("node.checkpoint")} size="small">
              {node.checkpoint ? (
                <div className="stack">
                  <Descriptions
                    size="small"
                    column={1}
                    items={[
                      { key: "origin", label: t("node.origin"), children: <code>{node.checkpoint.origin}</code> },
                      { key: "size", label: t("node.size"), children: count(node.checkpoint.size) },
                      { key: "root", label: t("node.root"), children: <code>{node.checkpoint.root}</code> },
                      { key: "vkey", label: t("node.vkey"), children: <code>{node.checkpoint.vkey}</code> },
                      {
                        key: "lag",
                        label: t("node.lag"),
                        children: node.log_lag?.behind_ms
                          ? t("node.lagText", {
                              seconds: count(Math.ceil(node.log_lag.behind_ms / 1000)),
                              receipts: count(node.log_lag.receipts_uncommitted),
                              entries: count(node.log_lag.entries_unpublished),
                            })
                          : t("node.lagNone"),
                      },
                    ]}
                  />
                  <h3>{t("node.note")}</h3>
                  <pre className="block">{node.checkpoint.note}</pre>
                  <a href="/log/checkpoint">/log/checkpoint</a>
                </div>
              ) : (
                <Nothing text={t("node.noCheckpoint")} />
              )}
            </Card>
            {node.checkpoint?.twin && (
              <Card title={t("node.twin")} size="small">
                <div className="stack">
                  <Descriptions
                    size="small"
                    column={1}
                    items={[
                      { key: "origin", label: t("node.origin"), children: <code>{node.checkpoint.twin.origin}</code> },
                      { key: "size", label: t("node.size"), children: count(node.checkpoint.twin.size) },
                      { key: "root", label: t("node.root"), children: <code>{node.checkpoint.twin.root}</code> },
                      { key: "vkey", label: t("node.vkey"), children: <code>{node.checkpoint.twin.vkey}</code> },
                    ]}
                  />
                  <h3>{t("node.twinNote")}</h3>
                  <pre className="block">{node.checkpoint.twin.note}</pre>
                  <a href="/log/sm3/checkpoint">/log/sm3/checkpoint</a>
                </div>
              </Card>
            )}
            <Witnesses />
          </div>
        )}
      </Loaded>
    </>
  );
}
