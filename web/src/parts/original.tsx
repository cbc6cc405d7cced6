// Texts that the data has in Chinese alone.
import { useTranslation } from "react-i18next";
import { useNameOf } from "./parties";

/** Shows a text of the data. On an English page Chinese is marked as such, for screen readers and, with a hint, for the eye. */
export function Original({ text, hint = false }: { text: string; hint?: boolean }) {
  const { t, i18n } = useTranslation();
  if (i18n.language !== "en" || !/[\u4e00-\u9fff]/.test(text)) return <>{text}</>;
  return (
    <>
      <span lang="zh-CN">{text}</span>
      {hint && <small className="reason">{t("app.inChinese")}</small>}
    </>
  );
}

/** The title of an entity: its name where it has one in each language, what its title refers to, or its title as it is. */
export function EntityTitle({ id, title }: { id: string; title: string }) {
  const nameOf = useNameOf();
  const named = ["pty_", "prd_", "res_"].some((prefix) => id.startsWith(prefix)) ? nameOf(id) : id;
  if (named !== id) return <>{named}</>;
  return <Original text={nameOf(title) || id} />;
}
