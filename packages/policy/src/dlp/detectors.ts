/**
 * Every detector by its id: what it finds and how it makes sure.
 */
import { type Kind, kinds, type Severity } from "./kinds.ts"
import { tokens } from "./tokens.ts"

/** One detector, with the defaults of its kind. */
export interface Detector {
  /** Stable and lower case, `github-token`. */
  readonly id: string
  readonly kind: Kind
  readonly severity: Severity
  /** How a passage of the right shape is checked, in words. */
  readonly validator: string
}

const checks: Readonly<Record<string, string>> = {
  "github-token": "CRC-32 checksum",
  "npm-token": "CRC-32 checksum",
  jwt: "header decodes to JSON with an algorithm",
  "aws-access-key": "alphabet, length, no placeholder"
}

const others: ReadonlyArray<readonly [id: string, kind: Kind, validator: string]> = [
  ["azure-client-secret", "api_key", "`Q~` in fifth place, alphabet, length"],
  ["aws-secret-key", "api_key", "assigned to its name, drawn at random"],
  ["azure-key", "api_key", "assigned to its name, drawn at random"],
  ["telegram-token", "api_key", "number, `:AA`, alphabet, length"],
  ["discord-token", "api_key", "first part is a number in base64"],
  ["mailchimp-key", "api_key", "32 hexadecimal digits, data centre"],
  ["url-credentials", "api_key", "user and a password drawn at random before the host"],
  ["basic-credentials", "api_key", "base64 of a user and a password that is no placeholder"],
  ["command-password", "api_key", "password given to a known command, no placeholder"],
  ["generic-secret", "api_key", "assigned to a name that says so, drawn at random"],
  ["private-key", "private_key", "armour with a body drawn at random"],
  ["db-uri", "db_uri", "scheme, password that is no placeholder"],
  ["db-settings", "db_uri", "host or database beside a password that is no placeholder"],
  ["us-ssn", "ssn", "area, group and serial ranges, layout or context"],
  ["credit-card", "credit_card", "Luhn, issuer and length, group layout or context"],
  ["email", "email", "local part, domain labels, top-level domain"],
  ["iban", "iban", "country, length, ISO 7064 remainder"],
  ["phone", "phone", "international or national layout"]
]

const of = (id: string, kind: Kind, validator: string): Detector => ({
  id,
  kind,
  severity: kinds[kind].severity,
  validator
})

/** All of them. */
export const detectors: ReadonlyMap<string, Detector> = new Map(
  [
    ...tokens.map(({ id }) =>
      of(id, "api_key", checks[id] ?? "prefix, alphabet, length, no words, no placeholder")
    ),
    ...others.map(([id, kind, validator]) => of(id, kind, validator))
  ].map((detector) => [detector.id, detector])
)
