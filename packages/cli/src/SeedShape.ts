/** Which keys a seed file may hold, and where in the file something stands. */
import { Cel } from "@agion/policy"
import { type Document, isAlias, isMap, isNode, isScalar, isSeq, type LineCounter, type Node } from "yaml"

/** Keys of a mapping with what they hold; null: anything. */
interface Shape {
  readonly what: string
  readonly keys: { readonly [key: string]: Shape | null }
}

const open = (keys: string) => Object.fromEntries(keys.split(" ").map((key) => [key, null]))

const resource: Shape = {
  what: "a resource",
  keys: open(
    "name resource_type resource_data created_by description compliance_labels data_residency " +
      "trust_tier_required risk_level status health_status health_message tags metadata"
  )
}
const resources: Shape = { ...resource, keys: { ...resource.keys, children: resource } }
// What hangs under a resource is a resource, however deep.
Object.assign(resource.keys, { children: resource })

const constraints: Shape = {
  what: "constraints",
  keys: open("rate_limit_rpm token_limit_per_day cost_limit_per_day_usd allowed_hours allowed_days")
}
const scope: Shape = { what: "a scope", keys: open("agents actions resource_types resource_ids tags") }

const seed: Shape = {
  what: "a seed",
  keys: {
    organization: null,
    resources,
    grants: {
      what: "a grant",
      keys: { ...open("actor_id actor_type resource permission_type purpose"), constraints }
    },
    policies: {
      what: "a policy",
      keys: { ...open("name description expr priority enforcement level tags"), scope }
    }
  }
}

/** The place of a node: `line 3, column 5: `; empty where there is none. */
const placeOf = (node: unknown, lines: LineCounter): string => {
  const start = isNode(node) ? node.range?.[0] : undefined
  if (start === undefined) return ""
  const { line, col } = lines.linePos(start)
  return `line ${line}, column ${col}: `
}

/** The first key that nobody reads, with its place and what may be meant; undefined when there is none. */
export const unknownKey = (document: Document, lines: LineCounter): string | undefined => {
  const within = (given: unknown, shape: Shape): string | undefined => {
    const node = isAlias(given) ? given.resolve(document) : given
    if (isSeq(node)) return first(node.items, (item) => within(item, shape))
    if (!isMap(node)) return undefined
    return first(node.items, ({ key, value }) => {
      const name = isScalar(key) ? String(key.value) : String(key)
      const below = Object.hasOwn(shape.keys, name) ? shape.keys[name] : undefined
      if (below === undefined) return `${placeOf(key, lines)}${unknown(name, shape)}`
      return below === null ? undefined : within(value, below)
    })
  }
  return within(document.contents, seed)
}

const unknown = (name: string, { what, keys }: Shape): string => {
  const near = Cel.nearest(name, Object.keys(keys))
  const hint = near === undefined ? `it takes ${Object.keys(keys).join(", ")}` : `did you mean \`${near}\`?`
  return `unknown key \`${name}\` of ${what}; ${hint}`
}

const first = <A, B>(items: ReadonlyArray<A>, find: (item: A) => B | undefined): B | undefined => {
  for (const item of items) {
    const found = find(item)
    if (found !== undefined) return found
  }
  return undefined
}

/** The place of what stands at a path of keys and indexes; empty where it cannot be said. */
export const placeAt =
  (document: Document, lines: LineCounter) =>
  (path: ReadonlyArray<string | number>): string => {
    let node: unknown = document.contents
    for (const step of path) {
      const whole: unknown = isAlias(node) ? node.resolve(document) : node
      const next: Node | unknown = isMap(whole) || isSeq(whole) ? whole.get(step, true) : undefined
      if (!isNode(next)) break
      node = next
    }
    return placeOf(node, lines)
  }
