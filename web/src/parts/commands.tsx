// Buttons for commands, as the server says: what may not be given now is disabled with the server's own reason.
import { useQueryClient } from "@tanstack/react-query";
import { App, Button, Checkbox, Form, Input, Modal, Space, Tooltip } from "antd";
import { useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { type CommandChoice, giveCommand, isProblem, newIdempotencyKey } from "../api/client";
import { useSession } from "../session";
import { useWithNames } from "./parties";
import { ProblemView } from "./problem";

type Inputs = Record<string, string | boolean>;

/** The commands of one entity. */
export function CommandButtons({
  choices,
  entity,
  version,
  compact = false,
}: {
  choices: CommandChoice[];
  entity: string;
  version: number;
  /** In lists: only what is of the user's duty. */
  compact?: boolean;
}) {
  const [open, setOpen] = useState<CommandChoice | null>(null);
  // A service key is issued at an address of its own, next to the order's keys.
  const given = choices.filter((choice) => choice.command !== "issue_service_key");
  const shown = compact ? given.filter((choice) => choice.allowed || choice.code !== "not_permitted") : given;
  return (
    <>
      <Space wrap>
        {shown.map((choice) => (
          <ChoiceButton
            key={choice.command}
            choice={choice}
            size={compact ? "small" : "middle"}
            onClick={() => setOpen(choice)}
          />
        ))}
      </Space>
      {open && <CommandForm choice={open} entity={entity} version={version} close={() => setOpen(null)} />}
    </>
  );
}

/** The button of one command. What may not be given now is shown, disabled, with the reason. */
export function ChoiceButton({
  choice,
  size = "middle",
  type = "default",
  onClick,
}: {
  choice: CommandChoice;
  size?: "small" | "middle";
  type?: "default" | "primary";
  onClick: () => void;
}) {
  const { t } = useTranslation();
  const reason = useReason()(choice);
  const button = (
    <Button size={size} type={type} disabled={!choice.allowed} data-command={choice.command} onClick={onClick}>
      {t(`command.${choice.command}`, { defaultValue: choice.command })}
    </Button>
  );
  if (choice.allowed) return button;
  return (
    <Tooltip title={reason}>
      {/* A disabled button takes no focus; the text around it does, so that the reason can be read by keyboard. */}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: the reason must be reachable without a mouse */}
      <span tabIndex={0} role="note" aria-label={reason}>
        {button}
      </span>
    </Tooltip>
  );
}

/** Why a command can't be given now: whose duty it is, or the domain's own sentence. */
export function useReason(): (choice: CommandChoice) => string {
  const { t, i18n } = useTranslation();
  const session = useSession();
  const withNames = useWithNames();
  return (choice) => {
    const hasRole = choice.roles.length === 0 || choice.roles.some((role) => session.roles.includes(role));
    const hasDuty = choice.duties.length === 0 || choice.duties.some((duty) => session.duties.includes(duty));
    if (hasRole && hasDuty) return withNames((i18n.language === "en" ? choice.reason_en : choice.reason) ?? "");
    const roles = choice.roles.map((role) => t(`role.${role}`)).join(t("app.separator"));
    const duties = choice.duties.map((duty) => t(`duty.${duty}`)).join(t("app.separator"));
    return t("app.needs", { roles: roles || t("app.anyParty"), duties });
  };
}

function CommandForm({
  choice,
  entity,
  version,
  close,
}: {
  choice: CommandChoice;
  entity: string;
  version: number;
  close: () => void;
}) {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const queries = useQueryClient();
  const [form] = Form.useForm<Inputs>();
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  // One key for as long as this form is open: pressing twice, or again after a lost answer, changes things once.
  const key = useRef(newIdempotencyKey());
  const initial = Object.fromEntries(choice.inputs.map((input) => [input.name, input.value ?? ""]));

  async function give(values: Inputs) {
    setBusy(true);
    setError(null);
    const inputs: Inputs = {};
    for (const input of choice.inputs) {
      inputs[input.name] =
        input.kind === "flag" ? values[input.name] === true : String(values[input.name] ?? "").trim();
    }
    try {
      await giveCommand(choice, inputs, { stream: entity, version }, key.current);
      await queries.invalidateQueries();
      message.success(t("app.done"));
      close();
    } catch (problem) {
      // What the node refused did not happen, so the next attempt is another request; a lost answer may have.
      if (isProblem(problem)) key.current = newIdempotencyKey();
      setError(problem);
    } finally {
      setBusy(false);
    }
  }

  return (
    <Modal
      open
      title={t(`command.${choice.command}`, { defaultValue: choice.command })}
      okText={t("app.confirm")}
      cancelText={t("app.cancel")}
      confirmLoading={isBusy}
      onOk={() => form.submit()}
      onCancel={close}
    >
      <Form form={form} layout="vertical" initialValues={initial} onFinish={(values) => void give(values)}>
        {choice.inputs.map((input) =>
          input.kind === "flag" ? (
            <Form.Item key={input.name} name={input.name} valuePropName="checked">
              <Checkbox>{t(`input.${input.name}`, { defaultValue: input.name })}</Checkbox>
            </Form.Item>
          ) : (
            <Form.Item
              key={input.name}
              name={input.name}
              label={t(`input.${input.name}`, { defaultValue: input.name })}
              rules={[{ required: true, whitespace: true, message: t("input.required") }]}
            >
              {input.kind === "yuan" || input.name === "number" ? (
                <Input inputMode={input.kind === "yuan" ? "decimal" : "text"} />
              ) : (
                <Input.TextArea rows={3} maxLength={4000} />
              )}
            </Form.Item>
          ),
        )}
      </Form>
      <p className="id">{entity}</p>
      {error !== null && <ProblemView error={error} />}
    </Modal>
  );
}
