// The contract: terms, quota, signatures, service keys.

import { useQueryClient } from "@tanstack/react-query";
import { Alert, App, Button, Descriptions, Modal, Space, Table, Tag, Typography } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { fetchClient, newIdempotencyKey, type Schemas } from "../../api/client";
import { count } from "../../format";
import { useReason } from "../../parts/commands";
import { useNameOf } from "../../parts/parties";
import { ProblemView } from "../../parts/problem";
import { At, Id, UnitPrice } from "../../parts/tags";
import { unitsOf } from "../market";
import { MarkKeys } from "./marks";

export function Contract({ entry }: { entry: Schemas["Entry_Order"] }) {
  const { t } = useTranslation();
  const nameOf = useNameOf();
  const { details, contract } = entry.body;
  const units = unitsOf(details.modes);
  const signatures = Object.entries(contract.signatures).map(([party, actor]) => (
    <div key={party}>
      {nameOf(party)} <Signer actor={actor} />
    </div>
  ));
  return (
    <div className="stack">
      <Descriptions
        bordered
        size="small"
        column={{ xs: 1, md: 2 }}
        items={[
          { key: "consumer", label: t("order.consumer"), children: nameOf(entry.body.consumer) },
          { key: "operator", label: t("order.operator"), children: nameOf(entry.body.operator) },
          { key: "purpose", label: t("order.purpose"), children: <code>{details.purpose}</code> },
          {
            key: "modes",
            label: t("market.modes"),
            children: details.modes.map((mode) => <Tag key={mode}>{t(`mode.${mode}`)}</Tag>),
          },
          ...(units.includes("per_call")
            ? [{ key: "calls", label: t("order.quotaCalls"), children: count(details.quota.calls) }]
            : []),
          ...(units.includes("per_data_set")
            ? [{ key: "data_sets", label: t("order.quotaDataSets"), children: count(details.quota.data_sets) }]
            : []),
          {
            key: "term",
            label: t("order.term"),
            children: (
              <>
                <At at={details.term.from} /> – <At at={details.term.until} />
              </>
            ),
          },
          {
            key: "price",
            label: t("order.fees"),
            children: (
              <Space wrap separator="·">
                {units.map((unit) => (
                  <span key={unit}>
                    {t(`market.${unit}`)} <UnitPrice amount={contract.price[unit]} />
                  </span>
                ))}
              </Space>
            ),
          },
          {
            key: "terms",
            label: t("order.terms"),
            span: 2,
            children: <Typography.Text className="id">{contract.terms_digest}</Typography.Text>,
          },
          {
            key: "signatures",
            label: t("order.signatures"),
            span: 2,
            children: signatures.length === 0 ? "—" : signatures,
          },
        ]}
      />
      <Keys entry={entry} />
      <MarkKeys entry={entry} />
    </div>
  );
}

function Signer({ actor }: { actor: Schemas["Actor"] }) {
  if (typeof actor === "string") return <span>{actor}</span>;
  if ("user" in actor) return <Id id={actor.user} />;
  return <Id id={"subject" in actor ? actor.subject : actor.subject_before.subject} />;
}

function Keys({ entry }: { entry: Schemas["Entry_Order"] }) {
  const { t } = useTranslation();
  const queries = useQueryClient();
  const { message } = App.useApp();
  const [issued, setIssued] = useState<Schemas["ServiceKey"] | null>(null);
  const [error, setError] = useState<unknown>(null);
  const issuing = entry.commands.find((choice) => choice.command === "issue_service_key");
  const reasonOf = useReason();

  async function issue() {
    setError(null);
    const params = { path: { id: entry.id }, header: { "Idempotency-Key": newIdempotencyKey() } };
    const answer = await fetchClient.POST("/api/v1/orders/{id}/service-keys", { params });
    if (answer.error) {
      setError(answer.error);
      return;
    }
    setIssued(answer.data);
    await queries.invalidateQueries();
    message.success(t("app.done"));
  }

  return (
    <>
      <h3>{t("order.keys")}</h3>
      <Table
        scroll={{ x: "max-content" }}
        size="small"
        rowKey="id"
        pagination={false}
        dataSource={entry.body.service_keys}
        columns={[
          { title: t("record.id"), dataIndex: "id", render: (id: string) => <Id id={id} /> },
          {
            title: t("inbox.state"),
            dataIndex: "revoked",
            render: (revoked: boolean) => (
              <Tag color={revoked ? "red" : "green"}>{revoked ? t("order.revoked") : t("order.inUse")}</Tag>
            ),
          },
        ]}
      />
      {issuing && (
        <Space>
          <Button disabled={!issuing.allowed} onClick={() => void issue()}>
            {t("order.issueKey")}
          </Button>
          {!issuing.allowed && <span className="reason">{reasonOf(issuing)}</span>}
        </Space>
      )}
      {error !== null && <ProblemView error={error} />}
      <Modal open={issued !== null} title={t("order.keys")} footer={null} onCancel={() => setIssued(null)}>
        <Alert type="warning" showIcon title={t("order.keyOnce")} />
        {issued && (
          <p>
            <Typography.Text code copyable>
              {issued.key}
            </Typography.Text>
          </p>
        )}
      </Modal>
    </>
  );
}
