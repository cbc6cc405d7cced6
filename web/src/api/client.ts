// The one way to the control plane: the generated types, the session's token on every change, problem documents thrown
// as errors.
import createFetchClient from "openapi-fetch";
import createClient from "openapi-react-query";
import type { components, paths } from "./schema";

export type Schemas = components["schemas"];
export type Problem = Schemas["Problem"];
export type CommandChoice = Schemas["CommandChoice"];

let csrf = "";

/** Remembers the token that every change repeats. */
export function rememberToken(token: string) {
  csrf = token;
}

const http = createFetchClient<paths>({ baseUrl: "/" });
http.use({
  onRequest({ request }) {
    if (request.method !== "GET") {
      request.headers.set("X-CSRF-Token", csrf);
    }
    return request;
  },
});

export const fetchClient = http;
export const api = createClient(http);

/** A key that makes a change happen once, however often the button is pressed or the network repeats it. */
export function newIdempotencyKey(): string {
  return crypto.randomUUID();
}

/** True for what the node answered as a problem document. */
export function isProblem(error: unknown): error is Problem {
  return typeof error === "object" && error !== null && "code" in error && "detail" in error;
}

/** Gives a command: its form, what the user added, and the version of the entity that he saw. */
export async function giveCommand(
  choice: CommandChoice,
  inputs: Record<string, string | boolean>,
  seen: { stream: string; version: number },
  key: string,
): Promise<Schemas["CommandResult"]> {
  const body = { ...(choice.form as object), ...inputs } as unknown as Schemas["Command"];
  const header = { "Idempotency-Key": key, "If-Match": `${seen.stream}=${seen.version}` };
  const { data, error } = await http.POST("/api/v1/commands", { params: { header }, body });
  if (error) throw error;
  return data;
}

/** Gives a command that makes something new, so that there is no version of it to have seen. */
export async function giveNew(body: Schemas["Command"], key: string): Promise<Schemas["CommandResult"]> {
  const { data, error } = await http.POST("/api/v1/commands", { params: { header: { "Idempotency-Key": key } }, body });
  if (error) throw error;
  return data;
}
