// Who took a step: a party by name with its user, a data subject (before a consent agent, by name), or the node.
import { useTranslation } from "react-i18next";
import { Id } from "./tags";

type Step = { actor: string; party?: string | null; party_en?: string | null };

export function Actor({ event }: { event: Step }) {
  const { t, i18n } = useTranslation();
  if (event.actor === "node") return <span>{t("order.node")}</span>;
  const party = i18n.language === "en" ? event.party_en : event.party;
  if (event.actor.startsWith("sub_")) {
    return <span>{party ? `${t("order.subjectActor")} · ${party}` : t("order.subjectActor")}</span>;
  }
  return (
    <span>
      {party} <Id id={event.actor} />
    </span>
  );
}
