import { expect, test } from "vitest";
import { civilDay, count, day, dayTime, percent, share, shortId, yuan } from "./format";

test("days are those of Beijing", () => {
  expect(day("2026-11-20T16:30:00Z", "zh-CN")).toBe("2026年11月21日");
  expect(day("2026-11-20T16:30:00Z", "en")).toBe("21 Nov 2026");
  expect(dayTime("2026-11-20T16:05:00Z", "zh-CN")).toBe("2026年11月21日 00:05");
  expect(civilDay("2026-01-01", "zh-CN")).toBe("2026年1月1日");
  expect(day("not a time", "zh-CN")).toBe("not a time");
});

test("money has at least two decimals and loses none", () => {
  expect(yuan("0")).toBe("0.00");
  expect(yuan("1234567.8")).toBe("1,234,567.80");
  expect(yuan("0.002500")).toBe("0.0025");
  expect(yuan("-1234.50")).toBe("-1,234.50");
  expect(yuan("1000")).toBe("1,000.00");
});

test("shares in millionths are told as per cent", () => {
  expect(share(200_000)).toBe("20 %");
  expect(share(2_500)).toBe("0.25 %");
  expect(share(0)).toBe("0 %");
});

test("counts and ids are readable", () => {
  expect(count(336776)).toBe("336,776");
  expect(shortId("ord_019302ab4c5d7e8f90a1b2c3d4e5f607")).toBe("ord_…d4e5f607");
  expect(shortId("node")).toBe("node");
});

test("fractions become per cent without a float", () => {
  expect(percent("0.15")).toBe("15%");
  expect(percent("0.125")).toBe("12.5%");
  expect(percent("0.005")).toBe("0.5%");
  expect(percent("1")).toBe("100%");
  expect(percent("0")).toBe("0%");
});
