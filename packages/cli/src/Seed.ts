/**
 * A YAML file that says what a platform starts with: resources, grants and policies, by name.
 *
 * Loading it again changes nothing: what is there already stays as it is.
 *
 * ```yaml
 * organization: default
 * resources:
 *   - name: openai
 *     resource_type: model_provider
 *     children:
 *       - { name: gpt-small, resource_type: ai_model, trust_tier_required: 40 }
 * grants:
 *   - { actor_id: agent-1, resource: gpt-small, permission_type: use, constraints: { token_limit_per_day: 5000 } }
 * policies:
 *   - { name: No drops, expr: '!request.content.contains("DROP TABLE")', level: hard }
 * ```
 */
import {
  ActorId,
  ActorType,
  Constraints,
  CreateResource,
  EnforcementLevel,
  OrganizationId,
  PermissionType,
  PolicyDecision,
  PolicyScope,
  type ResourceId,
  Wire
} from "@agion/domain"
import { Cel, PolicySet, StoredPolicy } from "@agion/policy"
import { Effect, Schema } from "effect"
import { LineCounter, parseDocument } from "yaml"
import { readText } from "./Files.ts"
import { CommandFailed, Platform } from "./Platform.ts"
import * as SeedShape from "./SeedShape.ts"

/** The largest file that is read, in bytes. */
const maxBytes = 1_000_000

interface SeedResource {
  readonly [field: string]: Schema.Json
}

const Grant = Wire.struct({
  actorId: ActorId,
  actorType: Wire.optional(ActorType),
  resource: Wire.Name,
  permissionType: Wire.optional(PermissionType),
  purpose: Wire.optional(Wire.Text),
  constraints: Wire.optional(Constraints)
})

const SeedPolicy = Wire.struct({
  name: Wire.Name,
  description: Wire.optional(Wire.Text),
  expr: Wire.Text,
  priority: Wire.optional(Schema.Int),
  enforcement: Wire.optional(PolicyDecision),
  level: Wire.optional(EnforcementLevel),
  scope: Wire.optional(PolicyScope),
  tags: Wire.optional(Schema.Array(Wire.Text))
})

/** What a seed file says. */
const Seed = Wire.struct({
  organization: Wire.optional(OrganizationId),
  resources: Wire.optional(Schema.Array(Schema.Record(Schema.String, Schema.Json))),
  grants: Wire.optional(Schema.Array(Grant)),
  policies: Wire.optional(Schema.Array(SeedPolicy))
})
type Seed = typeof Seed.Type

/** How many of each were made, and how many were there already. */
export interface Seeded {
  readonly resources: number
  readonly grants: number
  readonly policies: number
  readonly unchanged: number
}

/** Who seeds, and who approves what the seed grants. */
const requester = "seed"
const approver = "seed-approver"

/** What a file says, and the place of what stands at a path in it. */
interface Parsed {
  readonly seed: Seed
  readonly placeAt: (path: ReadonlyArray<string | number>) => string
}

/** A seed from the text of a YAML file; fails with the place of the first fault. */
const parse = (text: string, file: string): Effect.Effect<Parsed, CommandFailed> =>
  Effect.suspend(() => {
    if (new TextEncoder().encode(text).length > maxBytes) return fault(file, `larger than ${maxBytes} bytes`)
    const lines = new LineCounter()
    const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true, prettyErrors: false })
    const error = document.errors[0]
    if (error !== undefined) {
      const { line, col } = lines.linePos(error.pos[0])
      return fault(file, `line ${line}, column ${col}: ${error.message}`)
    }
    let value: unknown
    try {
      value = document.toJS({ maxAliasCount: 10 })
    } catch (cause) {
      return fault(file, cause instanceof Error ? cause.message : String(cause))
    }
    const unknown = SeedShape.unknownKey(document, lines)
    if (unknown !== undefined) return fault(file, unknown)
    return Schema.decodeUnknownEffect(Seed)(value ?? {}).pipe(
      Effect.map((seed) => ({ seed, placeAt: SeedShape.placeAt(document, lines) })),
      Effect.catch((issue) => fault(file, Wire.wirePaths(issue.message)))
    )
  })

const fault = (file: string, what: string): Effect.Effect<never, CommandFailed> =>
  Effect.fail(new CommandFailed({ message: `cannot read the seed \`${file}\`: ${what}` }))

/** A seed and the file that it stands in. */
export interface SeedFile {
  readonly seed: Seed
  readonly organizationId: OrganizationId
  readonly resources: ReadonlyArray<Planned>
  readonly file: string
}

/** Reads a seed file and checks all of it; changes nothing. */
export const read = Effect.fnUntraced(function* (file: string) {
  const text = yield* readText(file, `the seed \`${file}\``)
  const { seed, placeAt } = yield* parse(text, file)
  const organizationId = seed.organization ?? OrganizationId.make("default")
  const resources: Array<Planned> = []
  for (const [i, resource] of (seed.resources ?? []).entries())
    resources.push(yield* plan(resource, organizationId, file, placeAt(["resources", i])))
  const names = new Set(resources.flatMap(namesOf))
  for (const [i, { actorId, resource }] of (seed.grants ?? []).entries())
    if (!names.has(resource)) {
      const near = Cel.nearest(resource, names)
      const hint = near === undefined ? "" : `; did you mean \`${near}\`?`
      yield* fault(
        file,
        `${placeAt(["grants", i, "resource"])}grant of \`${actorId}\` names the resource \`${resource}\`, which stands nowhere under resources${hint}`
      )
    }
  for (const [i, policy] of (seed.policies ?? []).entries())
    yield* compiles(policy, file, placeAt(["policies", i, "expr"]))
  return { seed, organizationId, resources, file } satisfies SeedFile
})

const namesOf = ({ payload, children }: Planned): ReadonlyArray<string> => [
  payload.name,
  ...children.flatMap(namesOf)
]

/** As the platform will ask it, before there is a platform. */
const compiles = (policy: typeof SeedPolicy.Type, file: string, place: string) =>
  PolicySet.compile(
    StoredPolicy.toSetPolicies([
      {
        id: 0,
        version: 1,
        name: policy.name,
        description: policy.description ?? policy.name,
        type: "access",
        priority: policy.priority ?? 0,
        status: "active",
        policyLanguage: "cel",
        policyExpr: policy.expr,
        enforcement: policy.enforcement ?? null,
        enforcementLevel: policy.level ?? "hard",
        scope: policy.scope ?? {},
        actions: null
      }
    ])
  ).pipe(
    Effect.catch(({ errors: [first] }) => {
      const at =
        first === undefined || first.line === 0
          ? ""
          : `line ${first.line}, column ${first.column} of its expression: `
      return fault(file, `${place}policy \`${policy.name}\`: ${at}${first?.message ?? "it does not compile"}`)
    })
  )

interface Progress {
  readonly ids: Map<string, ResourceId>
  made: number
  unchanged: number
}

/** Makes what a seed says on the platform. */
export const apply = Effect.fnUntraced(function* ({
  seed,
  organizationId,
  resources: planned,
  file
}: SeedFile) {
  const progress: Progress = { ids: new Map(), made: 0, unchanged: 0 }
  for (const resource of planned) yield* makeResource(resource, null, progress)
  const resources = progress.made
  for (const grant of seed.grants ?? []) yield* makeGrant(grant, organizationId, progress, file)
  const grants = progress.made - resources
  for (const policy of seed.policies ?? []) yield* makePolicy(policy, organizationId, progress)
  const policies = progress.made - resources - grants
  return { resources, grants, policies, unchanged: progress.unchanged } satisfies Seeded
})

/** A resource of the file, checked, with what hangs under it. */
interface Planned {
  readonly payload: CreateResource
  readonly children: ReadonlyArray<Planned>
}

const plan: (
  fields: SeedResource,
  organizationId: OrganizationId,
  file: string,
  place: string
) => Effect.Effect<Planned, CommandFailed> = Effect.fnUntraced(
  function* (fields, organizationId, file, place) {
    const { children = [], ...own } = fields
    const name = `resource \`${String(own["name"])}\``
    const payload = yield* Schema.decodeUnknownEffect(CreateResource)({
      resource_data: {},
      created_by: requester,
      ...own,
      organization_id: organizationId
    }).pipe(Effect.catch((issue) => fault(file, `${place}${name}: ${Wire.wirePaths(issue.message)}`)))
    if (!isList(children)) return yield* fault(file, `${place}${name}: children must be a list of resources`)
    const planned: Array<Planned> = []
    for (const child of children) planned.push(yield* plan(child, organizationId, file, place))
    return { payload, children: planned }
  }
)

const isList = Schema.is(Schema.Array(Schema.Record(Schema.String, Schema.Json)))

const makeResource: (
  planned: Planned,
  parent: ResourceId | null,
  progress: Progress
) => Effect.Effect<void, unknown, Platform> = Effect.fnUntraced(function* (
  { payload, children },
  parent,
  progress
) {
  const platform = yield* Platform
  const id = yield* platform.resources.create({ payload: { ...payload, parentResourceId: parent } }).pipe(
    Effect.map((resource) => {
      progress.made++
      return resource.id
    }),
    Effect.catchTag("Conflict", () => existing(payload, payload.organizationId, progress))
  )
  progress.ids.set(payload.name, id)
  for (const child of children) yield* makeResource(child, id, progress)
})

const existing = Effect.fnUntraced(function* (
  payload: CreateResource,
  organizationId: OrganizationId,
  progress: Progress
) {
  const platform = yield* Platform
  for (let offset = 0; ; offset += 1000) {
    const { resources } = yield* platform.resources.list({
      query: { organizationId, resourceType: payload.resourceType, limit: 1000, offset }
    })
    const found = resources.find((resource) => resource.name === payload.name)
    if (found !== undefined) {
      progress.unchanged++
      return found.id
    }
    if (resources.length < 1000)
      return yield* new CommandFailed({ message: `resource \`${payload.name}\` is there and not listed` })
  }
})

const makeGrant = Effect.fnUntraced(function* (
  grant: typeof Grant.Type,
  organizationId: OrganizationId,
  progress: Progress,
  file: string
) {
  const platform = yield* Platform
  const resourceId = progress.ids.get(grant.resource)
  if (resourceId === undefined)
    return yield* fault(
      file,
      `grant of \`${grant.actorId}\` names the resource \`${grant.resource}\`, which stands nowhere under resources`
    )
  const requested = yield* platform.permissions
    .request({
      payload: {
        actorId: grant.actorId,
        actorType: grant.actorType ?? "agent",
        resourceId,
        permissionType: grant.permissionType ?? "use",
        purpose: grant.purpose ?? `seeded for ${organizationId}`,
        constraints: grant.constraints,
        requestedBy: requester
      }
    })
    .pipe(Effect.catchTag("Conflict", () => Effect.succeed(null)))
  if (requested === null) {
    progress.unchanged++
    return
  }
  yield* platform.permissions.approve({
    params: { id: requested.id },
    payload: { approvedBy: approver, notes: `seeded from ${file}` }
  })
  progress.made++
})

const makePolicy = Effect.fnUntraced(function* (
  policy: typeof SeedPolicy.Type,
  organizationId: OrganizationId,
  progress: Progress
) {
  const platform = yield* Platform
  const { policies } = yield* platform.policies.list({ query: { organizationId, limit: 1000 } })
  if (policies.some((known) => known.name === policy.name)) {
    progress.unchanged++
    return
  }
  yield* platform.policies.create({
    payload: {
      name: policy.name,
      description: policy.description ?? policy.name,
      type: "access",
      category: "seed",
      priority: policy.priority ?? 0,
      enabled: true,
      policyLanguage: "cel",
      policyExpr: policy.expr,
      enforcement: policy.enforcement,
      enforcementLevel: policy.level,
      scope: policy.scope,
      tags: policy.tags,
      createdBy: requester,
      organizationId
    }
  })
  progress.made++
})
