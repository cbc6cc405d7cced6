// Who took a step: a party by name with its user, a data subject, or the node.
import { useTranslation } from "react-i18next";
import { Id } from "./tags";

type Step = { actor: string; party?: string | null; party_en?: string | null };

export function Actor({ event }: { event: Step }) {
  const { t, i18n } = useTranslation();
  if (event.actor === "node") return <span>{t("order.node")}</span>;
  if (event.actor.startsWith("sub_")) return <span>{t("order.subjectActor")}</span>;
  return (
    <span>
      {i18n.language === "en" ? event.party_en : event.party} <Id id={event.actor} />
    </span>
  );
}
