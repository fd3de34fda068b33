/**
 * `docs/contract.md`: every route of the platform as `@agion/domain` declares it.
 *
 * Method, path, success and errors come from the API's value; only the words that say what a route does stand here.
 * A route without words, or words without a route, is a fault.
 */
import { Api } from "@agion/domain/api"
import { HttpApi } from "effect/http-api"

/** One route as the page shows it. */
export interface Route {
  readonly group: string
  readonly method: string
  /** With the prefix, parameters in braces: `/api/v1/resources/{id}`. */
  readonly path: string
  readonly what: string
  readonly success: ReadonlyArray<number>
  /** What it answers beside the refusals that every route knows. */
  readonly errors: ReadonlyArray<number>
}

/** What any route may answer: malformed, no key, not this caller's, too large, a defect. */
const anywhere = new Set([400, 401, 403, 413, 500])

const words: { readonly [group: string]: { readonly [name: string]: string } } = {
  resources: {
    create: "make a resource; unique by organization, type and name",
    list: "list an organization's resources by type, status, health, risk, parent, tags, labels",
    get: "one resource",
    children: "what hangs directly under it",
    update: "change it",
    remove: "delete it with its permissions; with children only with `cascade=true`"
  },
  permissions: {
    request: "ask for a permission; what was denied or revoked is opened again",
    check: "may this actor do this now? A denial is a 200 too",
    checkBatch: "up to 1,000 checks in order",
    reserve: "a check that also takes its share of the limits",
    settle: "replace the estimate of a reservation by the truth",
    release: "give a reservation back",
    active: "what an actor may use now",
    list: "list permissions by actor, resource, type, status",
    get: "one permission",
    update: "suspend, deny or revoke; change constraints",
    approve: "grant what is pending or suspended; never by who requested it",
    deny: "refuse what is pending",
    revoke: "take it back",
    usage: "report what was used; one event id counts once",
    ledger: "the rows that its usage adds up from"
  },
  policies: {
    list: "list policies by type, category, enabled",
    create: "make a policy; 422 with line and column when it does not compile",
    bundle: "what an agent's engine loads, signed; `If-None-Match` gives 304",
    get: "one policy",
    update: "change it; 403 for a system policy",
    remove: "delete it; 403 for a system policy",
    evaluate: "try one policy on a context"
  },
  trust: {
    evaluate: "an operator's change of a score",
    score: "a score; 404 where there is none",
    history: "the events that made it"
  },
  feedback: {
    submit: "what a user says of an answer; once for each user and answer",
    stats: "what users say of an agent",
    get: "one record",
    list: "list records by agent, user, status, stars"
  },
  audit: {
    log: "log an event",
    list: "list events by entity, type, decision, time",
    compliance: "a report about one entity"
  },
  agents: {
    register: "an agent says that it is there; repeating it is fine",
    list: "list agents",
    get: "one agent",
    update: "change it; status `suspended` is the kill switch, for an agent that never registered, too",
    remove: "delete it",
    rotateEventKey:
      "replace its event key; it is given the new one as it registers, and the former stays valid for `overlap_seconds`"
  },
  registry: {
    promptByLocation: "a prompt by its location",
    createPrompt: "make a prompt",
    listPrompts: "list prompts",
    updatePrompt: "change a prompt",
    removePrompt: "delete a prompt",
    modelByPurpose: "a model by its purpose, with credentials",
    createModel: "make a model",
    listModels: "list models, without credentials",
    updateModel: "change a model",
    removeModel: "delete a model",
    resourceByName: "how to reach a resource, with credentials",
    createResourceConfig: "make a resource's configuration",
    listResourceConfigs: "list configurations, without credentials",
    updateResourceConfig: "change a configuration",
    removeResourceConfig: "delete a configuration",
    gatewayPolicies: "the policies for an agent, as matches"
  },
  events: { ingest: "up to 1,000 events for agents without Redis: each accepted, duplicate or refused" },
  missions: {
    create: "make a mission",
    get: "a mission and who takes part",
    join: "take part; makes the mission that is not there",
    leave: "leave it",
    heartbeat: "still there",
    send: "a message to one participant or to all",
    messages: "messages after a point, in order",
    state: "the shared state and its version",
    putState: "replace the state of the version that was seen; else 409"
  },
  organizations: {
    get: "an organization's settings",
    update: "change its settings; what is null stays, but `budget_limit` null takes the limit away",
    usage: "what was used, by agent, model, day",
    createApiKey: "make a key; only this answer shows it",
    listApiKeys: "list keys, without their secrets",
    removeApiKey: "revoke a key",
    signingKeys: "the platform's public keys, each signed by the one before it"
  }
}

/** Routes that stand on the same server and are no part of the API's value. */
const beside: ReadonlyArray<Route> = [
  {
    path: "/api/v1/stream",
    what: "server-sent events for one agent; `Last-Event-ID` resumes",
    success: [200],
    errors: []
  },
  { path: "/health", what: "the process answers", success: [200], errors: [] },
  { path: "/ready", what: "it can decide, or which part is down", success: [200], errors: [503] },
  { path: "/openapi.json", what: "this table with every schema, as OpenAPI 3.1", success: [200], errors: [] }
].map((route) => ({ group: "beside", method: "GET", ...route }))

const whatOf = (group: string, name: string): string => {
  const what = words[group]?.[name]
  if (what === undefined)
    throw new Error(`scripts/ContractPage.ts has no words for the route \`${name}\` of \`${group}\``)
  return what
}

/** Every route, in the order of their declaration. */
export const routes = (): ReadonlyArray<Route> => {
  const found: Array<Route> = []
  HttpApi.reflect(Api, {
    onGroup: () => {},
    onEndpoint: ({ group, endpoint, successes, errors }) => {
      found.push({
        group: group.identifier,
        method: endpoint.method,
        path: endpoint.path.replace(/:(\w+)/g, "{$1}"),
        what: whatOf(group.identifier, endpoint.identifier),
        success: [...successes.keys()].sort(),
        errors: [...errors.keys()].filter((status) => !anywhere.has(status)).sort()
      })
    }
  })
  const worded = Object.values(words).reduce((sum, group) => sum + Object.keys(group).length, 0)
  if (worded !== found.length)
    throw new Error(`scripts/ContractPage.ts has words for ${worded} routes and there are ${found.length}`)
  return [...found, ...beside]
}

const intro = `# The HTTP contract

Every route of the platform. This page is written by \`npm run docs\` from the declaration in \`packages/domain/src/Api.ts\`; a test fails when the two differ. How a client walks through them stands in [clients.md](clients.md), what they mean in [semantics.md](semantics.md).

- **OpenAPI**: a running platform serves \`GET /openapi.json\` (OpenAPI 3.1, no key needed): every path, parameter, body and answer as a schema. \`curl -s http://127.0.0.1:8080/openapi.json > openapi.json\` gives generators for other languages what they want.
- **Spelling**: JSON is snake_case, times are ISO-8601 in UTC. Unknown request fields are ignored, unknown values of an enumeration are 400. In queries a list is comma-separated or repeated.
- **Who asks**: \`Authorization: Bearer KEY\` or \`X-API-Key: KEY\`; with authentication off nobody needs one.
- **Refusals**: every 4xx and 5xx has the body \`{"error", "message", "details", "timestamp"}\`. Any route may answer 400, 401, 403, 413 and 500; the column says what else it may. 429 comes with \`Retry-After\`.
- **Epoch**: an answer about an organization carries its epoch in the header \`Agion-Epoch\`.
`

const row = ({ method, path, what, success, errors }: Route): string =>
  `| ${method} | \`${path}\` | ${what} | ${success.join(", ")} | ${errors.join(", ")} |`

const titleOf = (group: string): string =>
  group === "beside" ? "Beside the API" : `${group.slice(0, 1).toUpperCase()}${group.slice(1)}`

/** The text of the page. */
export const page = (): string => {
  const all = routes()
  const sections = [...new Set(all.map(({ group }) => group))].map((group) =>
    [
      `## ${titleOf(group)}`,
      "",
      "| method | path | what | success | errors |",
      "| --- | --- | --- | --- | --- |",
      ...all.filter((route) => route.group === group).map(row),
      ""
    ].join("\n")
  )
  return [intro, ...sections].join("\n")
}
