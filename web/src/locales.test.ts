import { expect, test } from "vitest";
import document from "../../crates/api/golden/openapi.json";
import en from "./locales/en.json";
import zh from "./locales/zh-CN.json";

type Texts = { [key: string]: string | Texts };

function keys(texts: Texts, before = ""): string[] {
  return Object.entries(texts).flatMap(([key, value]) =>
    typeof value === "string" ? [`${before}${key}`] : keys(value, `${before}${key}.`),
  );
}

function placeholders(texts: Texts, before = ""): string[] {
  return Object.entries(texts).flatMap(([key, value]) =>
    typeof value === "string"
      ? [...value.matchAll(/\{\{(\w+)\}\}/g)].map((found) => `${before}${key}:${found[1]}`).sort()
      : placeholders(value, `${before}${key}.`),
  );
}

test("both languages say the same things", () => {
  expect(keys(en)).toEqual(keys(zh));
  expect(placeholders(en)).toEqual(placeholders(zh));
});

test("no text is empty", () => {
  const flat = (texts: Texts): string[] =>
    Object.values(texts).flatMap((value) => (typeof value === "string" ? [value] : flat(value)));
  for (const text of [...flat(zh), ...flat(en)]) {
    expect(text.trim()).not.toBe("");
  }
});

test("every text that a page names exists", () => {
  const sources = import.meta.glob("./**/*.{ts,tsx}", { query: "?raw", import: "default", eager: true });
  const known = new Set(keys(zh));
  const missing: string[] = [];
  for (const [file, source] of Object.entries(sources)) {
    for (const [, key] of String(source).matchAll(/\bt\("([a-zA-Z_.]+)"/g)) {
      if (key && !known.has(key)) missing.push(`${file}: ${key}`);
    }
  }
  expect(missing).toEqual([]);
});

test("every value that the node may answer has a name", () => {
  const schemas = document.components.schemas as Record<string, { enum?: string[]; oneOf?: { enum?: string[] }[] }>;
  const named = {
    Mode: "mode",
    Grade: "grade",
    DataType: "type",
    Role: "role",
    Duty: "duty",
    Tier: "tier",
    Nature: "nature",
  };
  const known = new Set(keys(zh));
  for (const [schema, group] of Object.entries(named)) {
    const values = schemas[schema]?.enum ?? schemas[schema]?.oneOf?.flatMap((one) => one.enum ?? []) ?? [];
    expect(values.length, schema).toBeGreaterThan(1);
    for (const value of values) expect(known, `${group}.${value}`).toContain(`${group}.${value}`);
  }
});
