/**
 * Every option of the SDK's front with what it must be: one table for code, for a host and its agents, and for what
 * an environment says. The compiler sees to it that no option is left out.
 */
import { ActorId, actorTypes, fromBase64Url, OrganizationId } from "@agion/domain"
import type { Dlp } from "@agion/policy/judgement"
import { LogLevel, Redacted, Schema } from "effect"
import type { HostedAgentOptions, HostOptions } from "../AgentHost.ts"
import type { AgionOptions, PartsOptions } from "../AgionSdk.ts"
import type { CircuitBreakerOptions } from "../CircuitBreaker.ts"
import type { EventBufferOptions } from "../EventBuffer.ts"
import type { StreamKind } from "../events/Event.ts"
import type { GovernanceHttpOptions } from "../GovernanceHttp.ts"
import type { PermissionCacheOptions } from "../PermissionCache.ts"
import type { PolicySyncOptions } from "../PolicySync.ts"
import type { Registration, SettingsOptions } from "../Settings.ts"
import type { OtlpOptions, TelemetryOptions } from "../Telemetry.ts"
import { collectorAddress, isCollector } from "../telemetry/Collector.ts"
import {
  anything,
  between,
  callable,
  duration,
  flag,
  isRecord,
  listOf,
  must,
  mustSecret,
  name,
  object,
  oneOf,
  type Rule,
  type Rules,
  record,
  secretOf,
  span,
  text,
  whole
} from "./OptionRules.ts"

const isName = Schema.is(ActorId)

const urlOf = (value: unknown): URL | undefined => {
  if (typeof value !== "string" && !(value instanceof URL)) return undefined
  return URL.canParse(value) ? new URL(value) : undefined
}

/** What is wrong with an address of a platform; a path before `/api/v1` is a proxy's. */
const gatewayProblem = (value: unknown): string | undefined => {
  const url = urlOf(value)
  if (url === undefined || !/^https?:$/.test(url.protocol))
    return "must be an http or https address, such as `http://127.0.0.1:8080`"
  if (url.username !== "" || url.password !== "")
    return "must not hold a user or a password; give the key as `apiKey`"
  if (url.search !== "" || url.hash !== "" || /[?#]$/.test(url.href))
    return `must be an address without a query and a fragment, such as \`${url.origin}\``
  const path = url.pathname.replace(/\/+$/, "").replace(/\/api\/v1$/, "")
  if (/\/api(\/|$)/.test(path))
    return `must be the platform's address, to which \`/api/v1\` is added, such as \`${url.origin}\`, not one of its paths`
  return undefined
}

const gatewayUrl: Rule = (value, at) => {
  const problem = gatewayProblem(value)
  return problem === undefined ? undefined : { setting: at, problem }
}

/** True for a key id and base64url of 32 bytes. */
const isPinnedKey = (value: unknown): boolean =>
  isRecord(value) &&
  isName(value["keyId"]) &&
  typeof value["publicKey"] === "string" &&
  fromBase64Url(value["publicKey"])?.length === 32

const signingKey = mustSecret(
  "given with a `keyId` and a `publicKey` of 32 bytes in base64url; take it from `GET /api/v1/signing-keys`",
  (value) => value === null || isPinnedKey(value)
)

/** What a header can carry. */
const apiKey = mustSecret(
  "text of visible ASCII characters, as `agion keys create` printed it",
  (value) => value === null || /^[\x21-\x7e]+$/.test(secretOf(value) ?? "")
)

const isRedisUrl = (value: unknown): boolean => {
  const url = urlOf(secretOf(value))
  return url !== undefined && /^rediss?:$/.test(url.protocol) && url.hostname !== ""
}

const redisUrl = mustSecret("the address of a Redis, such as `redis://127.0.0.1:6379`", isRedisUrl)

const collector = mustSecret(collectorAddress, isCollector)

/** A folder; a NUL would end its name for the system. */
const isFolder = (value: unknown): boolean =>
  typeof value === "string" && value.trim() !== "" && !value.includes("\0")

const folderOrNone = must(
  "the path of a folder, or false for none",
  (value) => value === false || isFolder(value)
)

const isJson = Schema.is(Schema.Json)
const json = must("what JSON holds", isJson)

const registration = object<Registration>({
  version: text,
  name: text,
  type: text,
  capabilities: listOf(text),
  framework: text,
  model: text,
  metadata: record(json)
})

const agentRules: Rules<
  Pick<SettingsOptions, "agentId" | "actorType" | "registration" | "enforcement" | "governance">
> = {
  agentId: name,
  actorType: oneOf(actorTypes),
  registration,
  enforcement: oneOf(["enforce", "observe"]),
  governance: flag
}

const settingsRules: Rules<SettingsOptions> = {
  ...agentRules,
  gatewayUrl,
  organizationId: must("text of 1 to 1,000 characters, and not `*`", Schema.is(OrganizationId)),
  apiKey,
  environment: text,
  signingKey,
  directory: folderOrNone,
  streamPrefix: text
}

const cache = object<PermissionCacheOptions>({ capacity: whole(1) })

const streamKinds: Readonly<Record<StreamKind, Rule>> = {
  trust: oneOf(["durable", "buffered"]),
  decision: oneOf(["durable", "buffered"]),
  mission: oneOf(["durable", "buffered"]),
  missionMessage: oneOf(["durable", "buffered"]),
  feedback: oneOf(["durable", "buffered"]),
  llmInteraction: oneOf(["durable", "buffered"])
}

const encryptionKey = mustSecret(
  "`Redacted.make(…)` of at least 32 random characters",
  (value) => Redacted.isRedacted(value) && (secretOf(value) ?? "").length >= 32
)

const eventRules: Rules<Omit<EventBufferOptions, "organizationId" | "directory">> = {
  fsync: oneOf(["each", "interval", "never"]),
  encryptionKey,
  flushInterval: span,
  flushAt: whole(1),
  shutdownDeadline: duration,
  memoryBytes: whole(0),
  diskBytes: whole(0),
  maxEventBytes: whole(1),
  classes: object<Record<StreamKind, unknown>>(streamKinds),
  eventKey: callable,
  awaitedKeys: anything,
  files: anything,
  segmentBytes: whole(1)
}

const dlpAction = oneOf(["block", "redact", "warn", "off"])

const dlp = object<Dlp.Options>({
  kinds: object<Record<Dlp.Kind, unknown>>({
    api_key: dlpAction,
    private_key: dlpAction,
    db_uri: dlpAction,
    ssn: dlpAction,
    credit_card: dlpAction,
    email: dlpAction,
    iban: dlpAction,
    phone: dlpAction
  }),
  keyedHash: callable
})

const partsRules: Rules<PartsOptions> = {
  ...settingsRules,
  directory: folderOrNone,
  http: object<GovernanceHttpOptions>({ timeout: span, deadline: span, retries: whole(0) }),
  cache,
  policies: object<PolicySyncOptions>({ poll: span, maxAge: span }),
  events: object(eventRules),
  dlp,
  telemetry: object<TelemetryOptions>({ sample: between(0, 1), metrics: flag }),
  logLevel: oneOf(LogLevel.values)
}

const breaker = object<CircuitBreakerOptions>({
  name: text,
  consecutiveFailures: whole(1),
  windowMs: whole(1),
  minimumCalls: whole(1),
  failureRate: between(0, 1),
  slowMs: whole(1),
  openMs: whole(1),
  maxOpenMs: whole(1),
  probes: whole(1),
  successes: whole(1),
  probeLeaseMs: whole(1)
})

const header = mustSecret("text", (value) => secretOf(value) !== undefined)

const otlp = object<OtlpOptions>(
  {
    url: collector,
    serviceName: text,
    serviceVersion: text,
    attributes: record(text),
    headers: record(header),
    interval: span,
    metricsInterval: span,
    shutdownTimeout: duration
  },
  ["url"]
)

const sdkRules: Rules<AgionOptions> = { ...partsRules, redisUrl, sharedCache: flag, breaker, otlp }

const hostRules = (): Rules<HostOptions> => {
  const { agentId: _agentId, actorType: _actor, registration: _registration, ...shared } = sdkRules
  const { cache: _cache, otlp: _otlp, ...rules } = shared
  return { ...rules, hostId: name, registrations: whole(1) }
}

/** What `Settings` takes. */
export const settingsOptions: Rule = object(settingsRules, ["agentId", "gatewayUrl"])
/** What the parts take over whatever connections there are. */
export const partsOptions: Rule = object(partsRules, ["agentId", "gatewayUrl"])
/** What the whole SDK takes. */
export const sdkOptions: Rule = object(sdkRules, ["agentId", "gatewayUrl"])
/** What a host takes. */
export const hostOptions: Rule = object(hostRules(), ["gatewayUrl"])
/** What an agent of a host takes. */
export const hostedAgentOptions: Rule = object<HostedAgentOptions>({ ...agentRules, cache }, ["agentId"])

/** The part of larger options that is `Settings`' own; `directory: false` is none. */
export const settingsIn = (options: PartsOptions): SettingsOptions => {
  const { agentId, gatewayUrl, directory, ...rest } = options
  const own = Object.entries(rest).filter(
    ([key, value]) => Object.hasOwn(settingsRules, key) && value !== undefined
  )
  return {
    agentId,
    gatewayUrl,
    ...Object.fromEntries(own),
    ...(directory === undefined ? {} : { directory })
  }
}
