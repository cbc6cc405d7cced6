// How times and money are written. Money stays the server's decimal text: nothing is computed on it here.

const BEIJING = "Asia/Shanghai";

function parts(moment: string): Record<string, string> {
  const format = new Intl.DateTimeFormat("zh-CN", {
    timeZone: BEIJING,
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
  });
  return Object.fromEntries(format.formatToParts(new Date(moment)).map((part) => [part.type, part.value]));
}

/** A day in Beijing: 2026年11月24日, or 24 Nov 2026 in English. Answers the text itself if it is no time. */
export function day(moment: string, language: string): string {
  if (Number.isNaN(Date.parse(moment))) return moment;
  if (language.startsWith("zh")) {
    const { year, month, day } = parts(moment);
    return `${year}年${month}月${day}日`;
  }
  return new Intl.DateTimeFormat("en-GB", {
    timeZone: BEIJING,
    day: "numeric",
    month: "short",
    year: "numeric",
  }).format(new Date(moment));
}

/** A day and time in Beijing, to the minute. */
export function dayTime(moment: string, language: string): string {
  if (Number.isNaN(Date.parse(moment))) return moment;
  const { hour, minute } = parts(moment);
  return `${day(moment, language)} ${hour}:${minute}`;
}

/** A civil day as `YYYY-MM-DD`, written out. */
export function civilDay(date: string, language: string): string {
  return day(`${date}T00:00:00+08:00`, language);
}

/** The civil day in Beijing of a moment, as `YYYY-MM-DD`: what a date field holds. */
export function beijingDate(moment: string): string {
  const { year = "", month = "", day = "" } = parts(moment);
  return `${year}-${month.padStart(2, "0")}-${day.padStart(2, "0")}`;
}

/** The beginning in Beijing of a civil day `YYYY-MM-DD`, RFC 3339. */
export function startOfDay(date: string): string {
  return `${date}T00:00:00+08:00`;
}

/** A share in millionths as per cent, without zeros at the end. */
export function share(perMillion: number): string {
  return `${perMillion / 10_000} %`;
}

/** Yuan: groups of three digits, at least two decimals, none cut off. */
export function yuan(amount: string): string {
  const [whole = "0", decimals = ""] = amount.split(".");
  const sign = whole.startsWith("-") ? "-" : "";
  const grouped = whole.replace("-", "").replace(/\B(?=(\d{3})+$)/g, ",");
  return `${sign}${grouped}.${decimals.replace(/0+$/, "").padEnd(2, "0")}`;
}

/** A count with groups of three digits. */
export function count(number: number): string {
  return String(number).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** The end of an id, by which people tell two apart. */
export function shortId(id: string): string {
  return /^[a-z]{3}_[0-9a-f]{32}$/.test(id) ? `${id.slice(0, 4)}…${id.slice(-8)}` : id;
}

/** A fraction as per cent, by moving the point in the server's decimal text. */
export function percent(rate: string): string {
  const [whole = "0", decimals = ""] = rate.split(".");
  const digits = decimals.padEnd(2, "0");
  const front = `${whole}${digits.slice(0, 2)}`.replace(/^0+(?=\d)/, "");
  const rest = digits.slice(2).replace(/0+$/, "");
  return `${front}${rest ? `.${rest}` : ""}%`;
}
