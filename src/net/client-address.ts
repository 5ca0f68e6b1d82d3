// Who asks: the address that a request is counted under. spec/http.md#throttling

import type { IncomingMessage } from 'node:http'
import { isIPv4, isIPv6 } from 'node:net'

/**
 * The key of a request's client: that of the last address in `header` where one is configured and it is an address,
 * else that of the connection. Trusts exactly one proxy: what stands before the last address, anybody can have written.
 */
export function clientKey(request: IncomingMessage, header: string | null): string {
  const named = header === null ? undefined : request.headers[header]
  const list = Array.isArray(named) ? named.join(',') : (named ?? '')
  const last = list.slice(list.lastIndexOf(',') + 1).trim()
  return addressKey(withoutPort(last)) ?? addressKey(request.socket.remoteAddress ?? '') ?? 'unknown'
}

/**
 * What an address is counted under: an IPv4 address itself, also where it is written as IPv6; of an IPv6 address its
 * first 56 bits, the least that one customer of a network usually has. null for what is no address.
 */
export function addressKey(address: string): string | null {
  if (isIPv4(address)) return address
  const [plain = ''] = address.split('%')
  if (!isIPv6(plain)) return null
  const groups = groupsOf(plain)
  if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff) return dotted(groups)
  const [a = 0, b = 0, c = 0, d = 0] = groups
  return `${[a, b, c, d - (d % 256)].map((group) => group.toString(16)).join(':')}::/56`
}

// Some proxies write the port too: `192.0.2.1:5000`, `[2001:db8::1]:5000`.
function withoutPort(text: string): string {
  const [, bracketed, dotted] = /^(?:\[([^\]]*)\](?::\d{1,5})?|([\d.]+):\d{1,5})$/.exec(text) ?? []
  return bracketed ?? dotted ?? text
}

/** The eight groups of an IPv6 address that is one. */
function groupsOf(address: string): number[] {
  const [left = '', right] = address.split('::')
  const before = numbers(left)
  if (right === undefined) return before
  const after = numbers(right)
  return [...before, ...Array.from({ length: 8 - before.length - after.length }, () => 0), ...after]
}

function numbers(part: string): number[] {
  if (part === '') return []
  return part.split(':').flatMap((group) => {
    if (!group.includes('.')) return [parseInt(group, 16)]
    const [a = 0, b = 0, c = 0, d = 0] = group.split('.').map(Number)
    return [a * 256 + b, c * 256 + d]
  })
}

function dotted(groups: readonly number[]): string {
  return groups.slice(6).flatMap((group) => [Math.floor(group / 256), group % 256]).join('.')
}
