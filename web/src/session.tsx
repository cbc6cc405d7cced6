// Who is signed in.
import { useQueryClient } from "@tanstack/react-query";
import { createContext, useContext, useEffect } from "react";
import { api, fetchClient, rememberToken, type Schemas } from "./api/client";

export type Session = Schemas["Session"];

const Current = createContext<Session | null>(null);
export const SessionProvider = Current.Provider;

/** The session in force; only inside the frame, which shows nothing without one. */
export function useSession(): Session {
  const session = useContext(Current);
  if (!session) throw new Error("a page of the frame is shown with a session only");
  return session;
}

/** Asks the node whose session the cookie is. */
export function useSessionQuery() {
  const query = api.useQuery("get", "/api/v1/session");
  const token = query.data?.csrf;
  useEffect(() => {
    if (token) rememberToken(token);
  }, [token]);
  return query;
}

/** Ends the session and forgets everything it had loaded. */
export function useSignOut() {
  const queries = useQueryClient();
  return async () => {
    await fetchClient.DELETE("/api/v1/session");
    queries.clear();
    window.location.assign("/login");
  };
}
