// The keys of an order's marks: what the node asks of the auditor, the auditor's answer, and what was committed to.
import { DownloadOutlined, UploadOutlined } from "@ant-design/icons";
import { useQueryClient } from "@tanstack/react-query";
import { Alert, App, Button, Descriptions, Space, Typography, Upload } from "antd";
import { useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { api, fetchClient, isProblem, newIdempotencyKey, type Schemas } from "../../api/client";
import { useNameOf } from "../../parts/parties";
import { ProblemView } from "../../parts/problem";
import { useSession } from "../../session";

/** The largest file that is read as shares, in bytes: they are some hundred. */
const SHARES_BYTES_MAX = 16_384;

/** Nothing for an order whose copies are exact. */
export function MarkKeys({ entry }: { entry: Schemas["Entry_Order"] }) {
  const { t } = useTranslation();
  const params = { params: { path: { id: entry.id } } };
  // An order whose copies are exact answers that there is nothing to ask.
  const request = api.useQuery("get", "/api/v1/orders/{id}/key-request", params, { retry: false });
  if (!request.data) return null;
  const given = entry.body.mark_keys;
  return (
    <section data-mark-keys={given ? "given" : "awaited"}>
      <h3>{t("marking.keys")}</h3>
      {given ? <Given keys={given} /> : <Awaited order={entry.id} />}
    </section>
  );
}

function Given({ keys }: { keys: Schemas["MarkKeys"] }) {
  const { t } = useTranslation();
  const nameOf = useNameOf();
  const { commitments } = keys;
  const digest = (text: string) => <Typography.Text className="id">{text}</Typography.Text>;
  return (
    <Descriptions
      bordered
      size="small"
      column={1}
      items={[
        { key: "holder", label: t("marking.holder"), children: nameOf(keys.holder) },
        { key: "positions", label: t("marking.ofPositions"), children: digest(commitments.positions) },
        { key: "recipient", label: t("marking.ofRecipient"), children: digest(commitments.recipient) },
        { key: "order", label: t("marking.ofOrder"), children: digest(commitments.order) },
        { key: "epoch", label: t("marking.codeEpoch"), children: commitments.code_epoch ?? 0 },
      ]}
    />
  );
}

function Awaited({ order }: { order: string }) {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const queries = useQueryClient();
  const session = useSession();
  const [error, setError] = useState<unknown>(null);
  const key = useRef(newIdempotencyKey());
  const mayGive = session.roles.includes("auditor") && session.duties.includes("approver");

  async function give(file: File) {
    setError(null);
    let shares: Schemas["MarkKeyShares"];
    try {
      if (file.size > SHARES_BYTES_MAX) throw new Error();
      shares = JSON.parse(await file.text());
    } catch {
      message.error(t("marking.noShares"));
      return;
    }
    const params = { path: { id: order }, header: { "Idempotency-Key": key.current } };
    const answer = await fetchClient.POST("/api/v1/orders/{id}/key-shares", { params, body: shares });
    if (answer.error) {
      if (isProblem(answer.error)) key.current = newIdempotencyKey();
      setError(answer.error);
      return;
    }
    await queries.invalidateQueries();
    message.success(t("app.done"));
  }

  return (
    <div className="stack">
      <Alert type="warning" showIcon title={t("marking.awaited")} description={t("marking.awaitedHow")} />
      <pre className="block">lingqu regulator share half.key --request request.json --out shares.json</pre>
      <Space wrap>
        <Button icon={<DownloadOutlined />} href={`/api/v1/orders/${order}/key-request`} download="request.json">
          {t("marking.request")}
        </Button>
        <Upload
          accept=".json,application/json"
          showUploadList={false}
          disabled={!mayGive}
          beforeUpload={(file) => {
            void give(file);
            return false;
          }}
        >
          <Button icon={<UploadOutlined />} disabled={!mayGive} data-command="give_key_shares">
            {t("marking.give")}
          </Button>
        </Upload>
        {!mayGive && (
          <span className="reason">{t("app.needs", { roles: t("role.auditor"), duties: t("duty.approver") })}</span>
        )}
      </Space>
      {error !== null && <ProblemView error={error} />}
    </div>
  );
}
