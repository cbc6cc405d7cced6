// Names of parties and products for ids that stand in other entities.
import { useTranslation } from "react-i18next";
import { api } from "../api/client";
import { shortId } from "../format";

const PAGE = { params: { query: { limit: 200 } } } as const;
const RARELY = { staleTime: 60_000 } as const;

/** The name of a party in the page's language; the id itself while it is unknown. */
export function usePartyName(): (id: string) => string {
  const { i18n } = useTranslation();
  const parties = api.useQuery("get", "/api/v1/parties", PAGE, RARELY).data?.items ?? [];
  return (id) => {
    const party = parties.find((entry) => entry.id === id)?.body;
    if (!party) return id;
    return i18n.language === "en" ? party.name_en || party.name : party.name;
  };
}

/** The name of a product in the page's language; the id itself while it is unknown. */
export function useProductName(): (id: string) => string {
  const { i18n } = useTranslation();
  const products = api.useQuery("get", "/api/v1/products", PAGE, RARELY).data?.items ?? [];
  return (id) => {
    const details = products.find((entry) => entry.id === id)?.body.details;
    if (!details) return id;
    return i18n.language === "en" ? details.name_en || details.name : details.name;
  };
}

/** The name of a resource in the page's language; the id itself while it is unknown. */
export function useResourceName(): (id: string) => string {
  const { i18n } = useTranslation();
  const resources = api.useQuery("get", "/api/v1/resources", PAGE, RARELY).data?.items ?? [];
  return (id) => {
    const details = resources.find((entry) => entry.id === id)?.body.details;
    if (!details) return id;
    return i18n.language === "en" ? details.name_en || details.name : details.name;
  };
}

/** The name for any id that has one. */
export function useNameOf(): (id: string) => string {
  const party = usePartyName();
  const product = useProductName();
  const resource = useResourceName();
  return (id) => {
    if (id.startsWith("pty_")) return party(id);
    if (id.startsWith("prd_")) return product(id);
    if (id.startsWith("res_")) return resource(id);
    return shortId(id);
  };
}

/** The server's sentence with names in place of ids. */
export function useWithNames(): (sentence: string) => string {
  const nameOf = useNameOf();
  return (sentence) => sentence.replace(/[a-z]{3}_[0-9a-f]{32}/g, nameOf);
}
