/** The address of whoever asks, as policies read it. */

const mapped = "::ffff:"

/** A socket's address: IPv4 that came over IPv6 is IPv4 again, and the zone of a link is left out. */
export const clientIp = (address: string | undefined): string | undefined => {
  if (address === undefined) return undefined
  if (address.startsWith(mapped) && address.includes(".")) return address.slice(mapped.length)
  const zone = address.indexOf("%")
  return zone < 0 ? address : address.slice(0, zone)
}
