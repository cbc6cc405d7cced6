// The registers that have no page of their own: every kind of entity, with the addresses of its lists.
export const KINDS = {
  party: ["/api/v1/parties", "/api/v1/parties/{id}"],
  user: ["/api/v1/users", "/api/v1/users/{id}"],
  quality_report: ["/api/v1/quality-reports", "/api/v1/quality-reports/{id}"],
  ticket: ["/api/v1/tickets", "/api/v1/tickets/{id}"],
  registration: ["/api/v1/registrations", "/api/v1/registrations/{id}"],
  right: ["/api/v1/rights", "/api/v1/rights/{id}"],
  supply: ["/api/v1/supplies", "/api/v1/supplies/{id}"],
  plan: ["/api/v1/plans", "/api/v1/plans/{id}"],
  mandate: ["/api/v1/mandates", "/api/v1/mandates/{id}"],
  permit: ["/api/v1/permits", "/api/v1/permits/{id}"],
  permitted_revenue: ["/api/v1/permitted-revenues", "/api/v1/permitted-revenues/{id}"],
  meter: ["/api/v1/meters", "/api/v1/meters/{id}"],
  trace: ["/api/v1/traces", "/api/v1/traces/{id}"],
  erasure: ["/api/v1/erasures", "/api/v1/erasures/{id}"],
} as const;

export type Kind = keyof typeof KINDS;

export function isKind(text: string): text is Kind {
  return text in KINDS;
}
