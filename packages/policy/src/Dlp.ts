/**
 * Data loss prevention: finds secrets and personal data in what an agent sends, decides whether the text may go on,
 * and replaces what it must not say.
 *
 * ```ts
 * const dlp = Dlp.make()
 * const result = dlp.scan(text) // { decision: "allow" | "redact" | "block", findings }
 * const safe = dlp.redact(text, result.findings)
 * ```
 *
 * Keys of well-known providers, private keys, connection strings, social security numbers and payment cards block;
 * e-mail addresses are redacted; IBANs and telephone numbers are looked for when asked. Disguises are looked
 * through: Unicode look-alikes, separators and mark-up between characters, line breaks, concatenation, percent,
 * hexadecimal, `\u`, HTML and base64 encoding, two layers of it. `docs/dlp.md` has the details and what is out of scope.
 *
 * Pure and synchronous. Time grows linearly with the text. Offsets are UTF-16 code units of the original text, end
 * exclusive. A finding never holds the value: its kind, its place and, with `keyedHash`, a hash of it.
 */
import { type Detector as Known, detectors as known } from "./dlp/detectors.ts"
import { type Action, type Kind, kinds } from "./dlp/kinds.ts"
import { type Passage, redactAll, redact as replace } from "./dlp/redact.ts"
import { redactValue } from "./dlp/redactValue.ts"
import { type DlpStream, type StreamOptions, stream as watch } from "./dlp/Stream.ts"
import { type ScanResult, type Settings, scan } from "./dlp/scan.ts"
import { type Bounds, scanValue, type ValueResult } from "./dlp/values.ts"

export type { Action, Kind, Severity } from "./dlp/kinds.ts"
export type { Passage } from "./dlp/redact.ts"
export type { DlpStream, Replacement, StreamOptions, StreamStep } from "./dlp/Stream.ts"
export { clean, type Decision, type Finding, type ScanResult } from "./dlp/scan.ts"
export type { Bounds, ValueFinding, ValueResult } from "./dlp/values.ts"

/** What is looked for and what a finding does. */
export interface Options {
  /** The action of a kind, or `"off"`. Default: everything blocks, `email` redacts, `iban` and `phone` are off. */
  readonly kinds?: Partial<Record<Kind, Action | "off">>
  /**
   * Hashes a value with a key of yours (HMAC, hexadecimal). With it findings carry `hash` and placeholders are
   * stable pseudonyms: `[email:1a2b3c4d]`, the first eight characters. Without it a placeholder shows a length class.
   */
  readonly keyedHash?: (value: string) => string
}

/** One detector as configured. */
export interface Detector extends Known {
  readonly action: Action | "off"
  /** The system policy that its findings enforce, if there is one. */
  readonly policy: string | undefined
}

/** A configured set of detectors. */
export interface Dlp {
  readonly detectors: ReadonlyArray<Detector>
  /** Scans one text. In a clean text the answer is the shared, frozen `Dlp.clean`. */
  readonly scan: (text: string) => ScanResult
  /** `text` with a placeholder for every finding; without `findings` it is scanned first, until nothing is left to replace. */
  readonly redact: (text: string, findings?: ReadonlyArray<Passage>) => string
  /** Scans a structured value: strings, keys, long numbers; own properties, bounded in depth and size. */
  readonly scanValue: (value: unknown, bounds?: Bounds) => ValueResult
  /**
   * A copy of a JSON-like value with placeholders for what `scanValue` finds in its strings, numbers and keys; maps
   * and sets are copied as such. What is deeper than 64 or contains itself becomes `[truncated]`.
   */
  readonly redactValue: (value: unknown) => unknown
  /** Watches a text that arrives in chunks. */
  readonly stream: (options?: StreamOptions) => DlpStream
}

/** The name of the system policy that findings of `kind` enforce; `undefined` for `iban` and `phone`. */
export const policyOf = (kind: Kind): string | undefined => kinds[kind].policy

/** Replaces `findings` in `text`; see `Options.keyedHash` for the placeholder. Overlapping findings become one. */
export const redact = (
  text: string,
  findings: ReadonlyArray<Passage>,
  options: Pick<Options, "keyedHash"> = {}
): string => replace(text, findings, options.keyedHash)

const settingsOf = (options: Options): Settings => {
  const actions: Record<Kind, Action | "off"> = {
    api_key: kinds.api_key.action,
    private_key: kinds.private_key.action,
    db_uri: kinds.db_uri.action,
    ssn: kinds.ssn.action,
    credit_card: kinds.credit_card.action,
    email: kinds.email.action,
    iban: kinds.iban.action,
    phone: kinds.phone.action
  }
  // A kind that is given as undefined is one that was left out: it is not switched off.
  for (const kind of Object.keys(actions) as Array<Kind>)
    actions[kind] = options.kinds?.[kind] ?? actions[kind]
  return { actions, keyedHash: options.keyedHash }
}

/** Detectors with `options`; see `Options` for the defaults. */
export const make = (options: Options = {}): Dlp => {
  const settings = settingsOf(options)
  const { keyedHash } = settings
  const scanText = (text: string) => scan(text, settings)
  const hide = (text: string, findings: ReadonlyArray<Passage>) => replace(text, findings, keyedHash)
  const scanAny = (value: unknown, bounds?: Bounds) => scanValue(value, scanText, hide, bounds)
  return {
    detectors: [...known.values()].map((detector) => ({
      ...detector,
      action: settings.actions[detector.kind],
      policy: policyOf(detector.kind)
    })),
    scan: scanText,
    redact: (text, findings) =>
      findings === undefined ? redactAll(text, scanText, hide) : hide(text, findings),
    scanValue: scanAny,
    redactValue: (value) => redactValue(value, scanText, hide),
    stream: (streamOptions) => watch(scanText, hide, streamOptions)
  }
}

/** Watches a text that arrives in chunks; `Dlp.make(options).stream(options)`. */
export const stream = (options: Options & StreamOptions = {}): DlpStream => make(options).stream(options)
