// Placing an order for a product: purpose, modes, term and quota, begun from the draft that the server offers.
import { useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { AutoComplete, Checkbox, Form, Input, InputNumber, Modal } from "antd";
import { useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { type CommandChoice, giveNew, isProblem, newIdempotencyKey, type Schemas } from "../../api/client";
import { beijingDate, startOfDay } from "../../format";
import { ChoiceButton } from "../../parts/commands";
import { ProblemView } from "../../parts/problem";
import { unitsOf } from "../market";

/** The quota that the domain allows at most. */
const QUOTA_MAX = 1_000_000_000_000;

type Details = Schemas["OrderDetails"];

/** What the form asks for; days are those of Beijing. */
export type OrderForm = {
  purpose: string;
  modes: Schemas["Mode"][];
  from: string;
  until: string;
  calls: number | null;
  data_sets: number | null;
};

/** The form as it stands at first. */
export function formOf(draft: Details): OrderForm {
  return {
    purpose: draft.purpose,
    modes: draft.modes,
    from: beijingDate(draft.term.from),
    until: beijingDate(draft.term.until),
    calls: draft.quota.calls,
    data_sets: draft.quota.data_sets,
  };
}

/** The order that a filled form stands for. A day that was left as it was keeps the draft's moment, which may lie within it. */
export function detailsOf(draft: Details, form: OrderForm): Details {
  const moment = (day: string, drafted: string) => (day === beijingDate(drafted) ? drafted : startOfDay(day));
  return {
    product: draft.product,
    purpose: form.purpose.trim(),
    modes: form.modes,
    term: { from: moment(form.from, draft.term.from), until: moment(form.until, draft.term.until) },
    quota: { calls: form.calls ?? 0, data_sets: form.data_sets ?? 0 },
  };
}

/** The button, and the form behind it. Nothing while the product can't be ordered at all. */
export function PlaceOrder({ offer }: { offer: Schemas["Offer"] }) {
  const [isOpen, setOpen] = useState(false);
  if (!offer.order) return null;
  return (
    <>
      <ChoiceButton choice={offer.order} type="primary" onClick={() => setOpen(true)} />
      {isOpen && <OrderDraft choice={offer.order} offer={offer} close={() => setOpen(false)} />}
    </>
  );
}

function OrderDraft({ choice, offer, close }: { choice: CommandChoice; offer: Schemas["Offer"]; close: () => void }) {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const queries = useQueryClient();
  const [form] = Form.useForm<OrderForm>();
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  // One key for as long as this form is open: pressing twice, or again after a lost answer, orders once.
  const key = useRef(newIdempotencyKey());
  const draft = (choice.form as unknown as { details: Details }).details;
  const modes = Form.useWatch("modes", form) ?? draft.modes;
  const units = unitsOf(modes);

  async function place(values: OrderForm) {
    setBusy(true);
    setError(null);
    try {
      const details = detailsOf(draft, { ...formOf(draft), ...values });
      const result = await giveNew({ command: "place_order", details } as Schemas["Command"], key.current);
      await queries.invalidateQueries();
      const placed = result.events.find((event) => event.kind === "order.placed");
      if (placed) await navigate({ to: "/orders/$id", params: { id: placed.stream }, search: { tab: "contract" } });
      close();
    } catch (problem) {
      // What the node refused did not happen, so the next attempt is another request; a lost answer may have.
      if (isProblem(problem)) key.current = newIdempotencyKey();
      setError(problem);
    } finally {
      setBusy(false);
    }
  }

  const needed = [{ required: true, message: t("input.required") }];
  return (
    <Modal
      open
      title={t("command.place_order")}
      okText={t("order.placeIt")}
      cancelText={t("app.cancel")}
      confirmLoading={isBusy}
      onOk={() => form.submit()}
      onCancel={close}
    >
      <p>{t("order.placeHint")}</p>
      <Form form={form} layout="vertical" initialValues={formOf(draft)} onFinish={(values) => void place(values)}>
        <Form.Item name="purpose" label={t("order.purpose")} extra={t("order.purposeHint")} rules={needed}>
          <AutoComplete options={offer.item.purposes.map((purpose) => ({ value: purpose }))} />
        </Form.Item>
        <Form.Item name="modes" label={t("market.modes")} rules={needed}>
          <Checkbox.Group
            options={offer.item.modes
              .filter((mode) => mode !== "compute")
              .map((mode) => ({ value: mode, label: t(`mode.${mode}`) }))}
          />
        </Form.Item>
        <div className="pair">
          <Form.Item name="from" label={t("order.from")} rules={needed}>
            <Input type="date" />
          </Form.Item>
          <Form.Item name="until" label={t("order.until")} rules={needed}>
            <Input type="date" max={offer.item.term ? beijingDate(offer.item.term.until) : undefined} />
          </Form.Item>
        </div>
        <div className="pair">
          {units.includes("per_call") && (
            <Form.Item name="calls" label={t("order.quotaCalls")} rules={needed}>
              <InputNumber min={0} max={QUOTA_MAX} precision={0} style={{ width: "100%" }} />
            </Form.Item>
          )}
          {units.includes("per_data_set") && (
            <Form.Item name="data_sets" label={t("order.quotaDataSets")} rules={needed}>
              <InputNumber min={0} max={QUOTA_MAX} precision={0} style={{ width: "100%" }} />
            </Form.Item>
          )}
        </div>
      </Form>
      {error !== null && <ProblemView error={error} />}
    </Modal>
  );
}
