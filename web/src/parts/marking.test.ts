import { expect, test } from "vitest";
import { columnsOf } from "./marking";

test("the columns of a mark are those that its bit moves", () => {
  const of = (carrier: Parameters<typeof columnsOf>[0]["carrier"]) =>
    columnsOf({ name: "m", rate_per_million: 1, carrier });
  const member = { encoding: "hours_minutes" as const, coefficient: 1 };
  expect(
    of({
      number: {
        amplitude: 1,
        members: [
          { column: "delay", ...member },
          { column: "time", ...member },
        ],
      },
    }),
  ).toEqual(["delay", "time"]);
  expect(of({ place: { latitude: "lat", longitude: "lon", decimals: 4, metres: 20 } })).toEqual(["lat", "lon"]);
  expect(of({ category: { column: "name", sets: [["a", "b"]] } })).toEqual(["name"]);
});
