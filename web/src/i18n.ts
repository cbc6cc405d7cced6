// Chinese first: zh-CN is the source of every text, English the second language.
import i18next from "i18next";
import { initReactI18next } from "react-i18next";
import en from "./locales/en.json";
import zh from "./locales/zh-CN.json";

export const LANGUAGES = ["zh-CN", "en"] as const;
const STORED = "lingqu.language";

function initial(): string {
  const stored = localStorage.getItem(STORED);
  return LANGUAGES.some((language) => language === stored) ? (stored as string) : "zh-CN";
}

/** Switches the language of the page and remembers it on this machine. */
export function switchLanguage(language: string) {
  localStorage.setItem(STORED, language);
  document.documentElement.lang = language;
  void i18next.changeLanguage(language);
}

document.documentElement.lang = initial();
void i18next.use(initReactI18next).init({
  lng: initial(),
  fallbackLng: "zh-CN",
  resources: { "zh-CN": { translation: zh }, en: { translation: en } },
  interpolation: { escapeValue: false },
  returnNull: false,
});

export default i18next;
