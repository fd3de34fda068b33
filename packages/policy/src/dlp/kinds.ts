/** What is looked for: the kinds of sensitive text, their defaults and the policy that each one enforces. */

/** What a finding is. */
export type Kind = "api_key" | "private_key" | "db_uri" | "ssn" | "credit_card" | "email" | "iban" | "phone"

/** What a finding asks for: refuse the text, replace the passage, or only tell. */
export type Action = "block" | "redact" | "warn"

/** How bad it is that the passage gets out. */
export type Severity = "low" | "medium" | "high" | "critical"

/** What one kind does unless configured otherwise. */
export interface KindSettings {
  readonly action: Action | "off"
  readonly severity: Severity
  /** The system policy that the kind enforces, if there is one. */
  readonly policy: string | undefined
}

/** The defaults, in the order in which a kind prevails over another one in the same passage. */
export const kinds: Readonly<Record<Kind, KindSettings>> = {
  private_key: { action: "block", severity: "critical", policy: "Block Private Keys" },
  db_uri: { action: "block", severity: "critical", policy: "Block Database Connection Strings" },
  api_key: { action: "block", severity: "critical", policy: "Block API Keys" },
  credit_card: { action: "block", severity: "high", policy: "Block Credit Cards" },
  ssn: { action: "block", severity: "high", policy: "Block SSN" },
  iban: { action: "off", severity: "medium", policy: undefined },
  email: { action: "redact", severity: "low", policy: "Redact Email Addresses" },
  phone: { action: "off", severity: "low", policy: undefined }
}
