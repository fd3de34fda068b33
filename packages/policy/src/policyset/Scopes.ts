/**
 * Which policies apply to an input.
 *
 * Every policy with a scope stands under one of its lists: exact values in a map by value, globs by the literal
 * text before their first wildcard or after their last. A lookup therefore costs what applies, not what exists.
 * The rest of the scope is compared when a candidate is found.
 */
import { globMatches } from "../cel/Library.ts"
import type { PolicyInput, Scope } from "./Policy.ts"

type Dimension = keyof Scope
type Single = Exclude<Dimension, "tags">

/** The most telling list first. */
const ORDER: ReadonlyArray<Dimension> = ["resourceIds", "agents", "tags", "resourceTypes", "actions"]

const ownText = (o: object | undefined, field: string): string | undefined => {
  if (typeof o !== "object" || o === null || !Object.hasOwn(o, field)) return undefined
  const v = (o as Record<string, unknown>)[field]
  return typeof v === "string" ? v : undefined
}

/** The text that a list of a scope is compared with. */
const facet = (input: PolicyInput, dimension: Single): string | undefined => {
  switch (dimension) {
    case "agents":
      return typeof input.agent_id === "string" ? input.agent_id : ownText(input.actor, "id")
    case "actions":
      return typeof input.action === "string" ? input.action : ownText(input.request, "action")
    case "resourceTypes":
      return ownText(input.resource, "resource_type")
    case "resourceIds":
      return ownText(input.resource, "id")
  }
}

const NO_TAGS: ReadonlyArray<unknown> = []

const tagsOf = (input: PolicyInput): ReadonlyArray<unknown> => {
  const { resource } = input
  if (typeof resource !== "object" || resource === null || !Object.hasOwn(resource, "tags")) return NO_TAGS
  const { tags } = resource as { readonly tags: unknown }
  return Array.isArray(tags) ? tags : NO_TAGS
}

const isGlob = (entry: string): boolean => entry.includes("*") || entry.includes("?")

const fits = (entries: ReadonlyArray<string>, text: unknown): boolean => {
  if (typeof text !== "string") return false
  for (const entry of entries) {
    if (entry === text || (isGlob(entry) && globMatches(entry, text))) return true
  }
  return false
}

/** One list that is still to be compared. */
export interface Left {
  readonly dimension: Dimension
  readonly entries: ReadonlyArray<string>
}

/** Whether an input fits all these lists. */
export const holds = (left: ReadonlyArray<Left>, input: PolicyInput): boolean => {
  for (const { dimension, entries } of left) {
    const ok =
      dimension === "tags"
        ? tagsOf(input).some((tag) => fits(entries, tag))
        : fits(entries, facet(input, dimension))
    if (!ok) return false
  }
  return true
}

/** The facts that lists of a scope are compared with. */
export const FACETS: Readonly<Record<Dimension, string>> = {
  agents: "agent_id",
  actions: "action",
  resourceTypes: "resource.resource_type",
  resourceIds: "resource.id",
  tags: "resource.tags"
}

/** An id in capitals, or a part of one. */
const capitals = /^[\dA-Fa-f*?-]*[A-F][\dA-Fa-f*?-]*$/

/** Ids are compared as text, and the platform spells them in small letters: who wrote one in capitals means the same. */
const spelled = (entries: ReadonlyArray<string> | undefined): ReadonlyArray<string> | undefined =>
  entries?.flatMap((entry) => (capitals.test(entry) ? [entry, entry.toLowerCase()] : [entry]))

/** The lists of a scope that restrict something. */
export const restricting = (scope: Scope | undefined): ReadonlyArray<Left> =>
  ORDER.flatMap((dimension) => {
    const entries = dimension === "resourceIds" ? spelled(scope?.resourceIds) : scope?.[dimension]
    return entries === undefined || entries.length === 0 || entries.includes("*")
      ? []
      : [{ dimension, entries }]
  })

/** The list by which a policy is found: the most telling one of exact entries, else the most telling one. */
const finder = (lists: ReadonlyArray<Left>): Left | undefined =>
  lists.find((l) => !l.entries.some(isGlob)) ?? lists[0]

type Texts = Map<string, Array<number>>

const push = (m: Texts, key: string, policy: number): void => {
  const list = m.get(key)
  if (list === undefined) m.set(key, [policy])
  else if (list[list.length - 1] !== policy) list.push(policy)
}

const ofLength = (m: Map<number, Texts>, length: number): Texts => {
  const known = m.get(length)
  if (known !== undefined) return known
  const made: Texts = new Map()
  m.set(length, made)
  return made
}

/** Policies under one list of their scopes. */
class Bucket {
  private readonly exact: Texts = new Map()
  /** By length of the literal text, then by the text. */
  private readonly prefixes = new Map<number, Texts>()
  private readonly suffixes = new Map<number, Texts>()

  add(entry: string, policy: number): void {
    const first = entry.search(/[*?]/)
    const tail = entry.slice(Math.max(entry.lastIndexOf("*"), entry.lastIndexOf("?")) + 1)
    if (first < 0) push(this.exact, entry, policy)
    else if (first > 0) push(ofLength(this.prefixes, first), entry.slice(0, first), policy)
    else push(ofLength(this.suffixes, tail.length), tail, policy)
  }

  find(text: string, into: Index, input: PolicyInput): void {
    const exact = this.exact.get(text)
    if (exact !== undefined) into.collect(exact, input)
    if (this.prefixes.size > 0) {
      for (const [length, texts] of this.prefixes) {
        const policies = texts.get(text.slice(0, length))
        if (policies !== undefined) into.collect(policies, input)
      }
    }
    if (this.suffixes.size > 0) {
      for (const [length, texts] of this.suffixes) {
        const policies = texts.get(length === 0 ? "" : text.slice(-length))
        if (policies !== undefined) into.collect(policies, input)
      }
    }
  }
}

const LAST_ROUND = 0xffffffff

/** Finds the policies that apply; a policy is its position. */
export class Index {
  /** The policies that the last `find` found: so many of the first entries. */
  readonly found: Int32Array
  private readonly always: number
  private readonly singles: ReadonlyArray<readonly [Single, Bucket]>
  private readonly tags: Bucket | undefined
  /** What is to be compared when a policy was found; undefined when nothing is. */
  private readonly left: ReadonlyArray<ReadonlyArray<Left> | undefined>
  /** When a policy was last found, so that it is found once. */
  private readonly seen: Uint32Array
  private round = 0
  private count = 0

  constructor(scopes: ReadonlyArray<Scope | undefined>) {
    this.found = new Int32Array(scopes.length)
    this.seen = new Uint32Array(scopes.length)
    const buckets = new Map<Dimension, Bucket>()
    this.left = scopes.map((scope, policy) => {
      const lists = restricting(scope)
      const by = finder(lists)
      if (by === undefined) {
        this.found[this.count++] = policy
        return undefined
      }
      const bucket = buckets.get(by.dimension) ?? new Bucket()
      buckets.set(by.dimension, bucket)
      for (const entry of by.entries) bucket.add(entry, policy)
      // An exact entry that was looked up holds; a glob was found by a part of it only.
      const rest = by.entries.some(isGlob) ? lists : lists.filter((l) => l !== by)
      return rest.length === 0 ? undefined : rest
    })
    this.always = this.count
    this.tags = buckets.get("tags")
    this.singles = [...buckets].flatMap(([d, bucket]) => (d === "tags" ? [] : [[d, bucket] as const]))
  }

  /** Finds the policies that apply and answers how many: the first entries of `found`, until the next call. */
  find(input: PolicyInput): number {
    this.count = this.always
    if (++this.round > LAST_ROUND) {
      this.seen.fill(0)
      this.round = 1
    }
    for (let i = 0; i < this.singles.length; i++) {
      const [dimension, bucket] = this.singles[i] as readonly [Single, Bucket]
      const text = facet(input, dimension)
      if (text !== undefined) bucket.find(text, this, input)
    }
    if (this.tags !== undefined) {
      for (const tag of tagsOf(input)) if (typeof tag === "string") this.tags.find(tag, this, input)
    }
    return this.count
  }

  /** Takes candidates whose whole scope holds. */
  collect(policies: ReadonlyArray<number>, input: PolicyInput): void {
    for (let i = 0; i < policies.length; i++) {
      const policy = policies[i] as number
      if (this.seen[policy] === this.round) continue
      this.seen[policy] = this.round
      const left = this.left[policy]
      if (left === undefined || holds(left, input)) this.found[this.count++] = policy
    }
  }
}
