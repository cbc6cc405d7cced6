// The way from an entity to what happened to it.
import { HistoryOutlined } from "@ant-design/icons";
import { Link } from "@tanstack/react-router";
import { useTranslation } from "react-i18next";

export function HistoryLink({ id }: { id: string }) {
  const { t } = useTranslation();
  return (
    <Link to="/journal" search={{ stream: id }}>
      <HistoryOutlined /> {t("journal.history")}
    </Link>
  );
}
