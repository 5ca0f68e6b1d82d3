import { createServer, type IncomingMessage } from 'node:http'
import { BlockList, isIPv6 } from 'node:net'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { addressKey, clientKey } from '../../src/net/client-address.ts'

describe('the key of an address', () => {
  it('is the IPv4 address itself, however it is written', () => {
    for (const written of ['192.0.2.7', '::ffff:192.0.2.7', '::ffff:c000:207', '0:0:0:0:0:FFFF:192.0.2.7']) expect(addressKey(written), written).toBe('192.0.2.7')
  })

  it('is the first 56 bits of an IPv6 address', () => {
    expect(addressKey('2001:db8:1:2233:4:5:6:7')).toBe('2001:db8:1:2200::/56')
    expect(addressKey('::1')).toBe('0:0:0:0::/56')
    expect(addressKey('fe80::1%eth0')).toBe('fe80:0:0:0::/56')
  })

  it('is the same for two IPv6 addresses exactly where they share 56 bits', () => {
    const address = fc.ipV6().filter((text) => isIPv6(text) && !/^[0:]*ffff:/i.test(text))
    // Two independent addresses share nothing: half of the pairs differ in their end alone.
    const pair = fc.oneof(fc.tuple(address, address), address.chain((text) => fc.tuple(fc.constant(text), fc.nat(65_535).map((end) => withEnd(text, end)))))
    fc.assert(fc.property(pair, ([a, b]) => {
      const network = new BlockList()
      network.addSubnet(a, 56, 'ipv6')
      expect(addressKey(a) === addressKey(b)).toBe(network.check(b, 'ipv6'))
    }), { numRuns: 1_000 })
  })

  it('is null for what is no address', () => {
    for (const text of ['', 'x', '192.0.2', '192.0.2.256', '1.2.3.4.5', ':::', '1::2::3', '[::1]', 'localhost', '192.0.2.1 ', '%eth0']) expect(addressKey(text), text).toBeNull()
    fc.assert(fc.property(fc.string(), (text) => void addressKey(text)))
  })
})

/** The address whose last group is replaced. */
function withEnd(address: string, end: number): string {
  const group = end.toString(16)
  return address.includes('.') || address.endsWith('::') ? `${address.slice(0, address.lastIndexOf(':') + 1)}${group}` : address.replace(/[^:]*$/, group)
}

describe('the client of a request', () => {
  const keyOf = (headers: IncomingMessage['headers'], header: string | null): string =>
    clientKey({ headers, socket: { remoteAddress: '::ffff:198.51.100.1' } } as unknown as IncomingMessage, header)

  it('is the connection, whatever a header says, where none is configured', () => {
    expect(keyOf({ 'x-forwarded-for': '192.0.2.7' }, null)).toBe('198.51.100.1')
  })

  it('is the last address of the header that is configured', () => {
    for (const [value, key] of [
      ['192.0.2.7', '192.0.2.7'], ['203.0.113.1, 192.0.2.7', '192.0.2.7'], ['rubbish, 192.0.2.7', '192.0.2.7'], ['203.0.113.1,  192.0.2.7 ', '192.0.2.7'],
      ['192.0.2.7:5000', '192.0.2.7'], ['2001:db8::7', '2001:db8:0:0::/56'], ['[2001:db8::7]:5000', '2001:db8:0:0::/56'], ['[2001:db8::7]', '2001:db8:0:0::/56'],
    ] as const) {
      expect(keyOf({ 'x-forwarded-for': value }, 'x-forwarded-for'), value).toBe(key)
    }
  })

  it('is the connection where the header is absent or its last part is no address', () => {
    for (const value of [undefined, '', 'unknown', '192.0.2.7,', '192.0.2.7, _hidden', '192.0.2.7, x'.repeat(100), '[192.0.2.7', '[]:1', '192.0.2.7:port']) {
      expect(keyOf(value === undefined ? {} : { 'x-forwarded-for': value }, 'x-forwarded-for'), value).toBe('198.51.100.1')
    }
  })

  it('is read from the last of several headers of that name, as Node joins them', async () => {
    const server = createServer((request, response) => response.end(clientKey(request, 'x-forwarded-for'))).listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    const address = server.address()
    const port = typeof address === 'object' ? (address?.port ?? 0) : 0
    const headers = new Headers([['X-Forwarded-For', '203.0.113.1'], ['X-Forwarded-For', '192.0.2.7']])
    expect(await (await fetch(`http://127.0.0.1:${port}`, { headers })).text()).toBe('192.0.2.7')
    server.close()
    server.closeAllConnections()
  })
})
