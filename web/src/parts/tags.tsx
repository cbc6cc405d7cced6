// Small signs: nature, state, ids, times and money. Colour never says anything that the text doesn't.
import {
  CheckCircleOutlined,
  ClockCircleOutlined,
  CloseCircleOutlined,
  ExperimentOutlined,
  GlobalOutlined,
  PauseCircleOutlined,
} from "@ant-design/icons";
import { Tag, Tooltip, Typography } from "antd";
import { useTranslation } from "react-i18next";
import { dayTime, shortId, yuan } from "../format";

/** REAL or SYNTHETIC, wherever data or figures made from it are shown. */
export function NatureTag({ nature }: { nature: "REAL" | "SYNTHETIC" }) {
  const { t } = useTranslation();
  const isReal = nature === "REAL";
  return (
    <Tooltip title={t(`nature.${nature}_hint`)}>
      <Tag color={isReal ? "blue" : "purple"} icon={isReal ? <GlobalOutlined /> : <ExperimentOutlined />}>
        {t(`nature.${nature}`)}
      </Tag>
    </Tooltip>
  );
}

const GOOD = ["in_force", "active", "listed", "certified", "registered", "approved", "confirmed", "paid_in", "settled"];
const GOOD_TOO = ["clean", "closed", "within", "recorded", "given", "initialised", "signed"];
const BAD = ["refused", "revoked", "ended", "withdrawn", "disabled", "delisted", "exceeded", "returned", "findings"];

/** The name of an entity's state, with an icon. */
export function StateTag({ state }: { state: string }) {
  const { t } = useTranslation();
  const text = t(`state.${state}`, { defaultValue: state });
  if (state === "suspended") {
    return (
      <Tag color="orange" icon={<PauseCircleOutlined />}>
        {text}
      </Tag>
    );
  }
  if (GOOD.includes(state) || GOOD_TOO.includes(state)) {
    return (
      <Tag color="green" icon={<CheckCircleOutlined />}>
        {text}
      </Tag>
    );
  }
  if (BAD.includes(state)) {
    return (
      <Tag color="red" icon={<CloseCircleOutlined />}>
        {text}
      </Tag>
    );
  }
  return <Tag icon={<ClockCircleOutlined />}>{text}</Tag>;
}

/** An id, shortened, to be copied whole; plain inside a link. */
export function Id({ id, whole = false, plain = false }: { id: string; whole?: boolean; plain?: boolean }) {
  const { t } = useTranslation();
  if (plain) return <span className="id">{shortId(id)}</span>;
  return (
    <Typography.Text className="id" copyable={{ text: id, tooltips: [t("app.copy"), t("app.copied")] }} title={id}>
      {whole ? id : shortId(id)}
    </Typography.Text>
  );
}

/** A digest, shortened, to be copied whole. */
export function Digest({ text }: { text: string }) {
  const { t } = useTranslation();
  return (
    <Typography.Text className="id" copyable={{ text, tooltips: [t("app.copy"), t("app.copied")] }} title={text}>
      {text.slice(0, 16)}…
    </Typography.Text>
  );
}

/** A moment in Beijing. */
export function At({ at }: { at: string }) {
  const { i18n } = useTranslation();
  return (
    <time dateTime={at} style={{ whiteSpace: "nowrap" }}>
      {dayTime(at, i18n.language)}
    </time>
  );
}

/** An amount, without its unit. */
export function Money({ amount }: { amount: string }) {
  return <span className="money">{yuan(amount)}</span>;
}

/** A unit price with its unit; nothing to pay is said in words. */
export function UnitPrice({ amount }: { amount: string }) {
  const { t } = useTranslation();
  if (/^0*(\.0*)?$/.test(amount)) return <span>{t("market.free")}</span>;
  return (
    <span className="money">
      {yuan(amount)} {t("market.yuan")}
    </span>
  );
}

/** A party's name in the page's language. */
export function PartyName({ party }: { party: { name: string; name_en: string } }) {
  const { i18n } = useTranslation();
  return <span>{i18n.language === "en" ? party.name_en || party.name : party.name}</span>;
}

/** How exact a column is shown. */
export function PrecisionName({ precision }: { precision: string }) {
  const { t } = useTranslation();
  if (precision.startsWith("rounded:")) return <span>{t("precision.rounded", { step: precision.slice(8) })}</span>;
  const text = t(`precision.${precision.replace(":", "_")}`, { defaultValue: precision });
  return precision === "exact" ? <span>{text}</span> : <em>{text}</em>;
}
