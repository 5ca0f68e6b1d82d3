import { describe, expect, it } from 'vitest'
import { HandleError, parseHandle, resolveHandle, type HandleLookup } from '../../src/client/handle.ts'

const [ONE, TWO] = ['did:plc:aaaaaaaaaaaaaaaaaaaaaaaa', 'did:plc:bbbbbbbbbbbbbbbbbbbbbbbb']

function answering(txt: readonly string[] | Error, body: string | null | Error = null): HandleLookup & { asked: string[] } {
  const asked: string[] = []
  const answer = <T>(question: string, value: T | Error): Promise<T> => {
    asked.push(question)
    return value instanceof Error ? Promise.reject(value) : Promise.resolve(value)
  }
  return { asked, txt: (name) => answer(name, txt), get: (url) => answer(url, body) }
}

describe('a handle', () => {
  it('is a host name of two labels or more, in lower case', () => {
    for (const [text, handle] of [
      ['alice.example.com', 'alice.example.com'],
      ['Alice.Example.COM', 'alice.example.com'],
      ['@alice.example.com', 'alice.example.com'],
      ['at://alice.example.com', 'alice.example.com'],
      ['8.cn', '8.cn'],
      ['a-b.xn--ls8h.test', 'a-b.xn--ls8h.test'],
      [`${'a'.repeat(63)}.com`, `${'a'.repeat(63)}.com`],
    ]) {
      expect(parseHandle(text ?? ''), text).toBe(handle)
    }
  })

  it('is nothing else', () => {
    const long = `${'a.'.repeat(126)}com`
    for (const text of ['', 'alice', '.com', 'alice.', 'a..com', 'alice.example.com.', '-a.com', 'a-.com', 'a_b.com', 'john.0', '127.0.0.1', 'a b.com', 'ö.com', 'a.com/x', 'a.com:80', `${'a'.repeat(64)}.com`, long]) {
      expect(parseHandle(text), text).toBeNull()
    }
  })
})

describe('resolving a handle', () => {
  it('asks DNS, and the web server only where DNS says nothing', async () => {
    const dns = answering(['v=spf1', `did=${ONE}`, `did=${ONE}`], TWO)
    expect(await resolveHandle('alice.test', dns)).toEqual({ handle: 'alice.test', did: ONE, by: 'DNS' })
    expect(dns.asked).toEqual(['_atproto.alice.test'])
    const https = answering(['v=spf1'], `${TWO}\n`)
    expect(await resolveHandle('alice.test', https)).toEqual({ handle: 'alice.test', did: TWO, by: 'HTTPS' })
    expect(https.asked).toEqual(['_atproto.alice.test', 'https://alice.test/.well-known/atproto-did'])
    expect((await resolveHandle('alice.test', answering(new Error('timeout'), TWO))).by).toBe('HTTPS')
  })

  it('refuses records that contradict each other', async () => {
    await expect(resolveHandle('alice.test', answering([`did=${ONE}`, `did=${TWO}`], ONE))).rejects.toThrow(/2 TXT records that name different DIDs: "did:plc:a+", "did:plc:b+"/)
  })

  it('refuses another method and what is no DID, quoted and cut', async () => {
    await expect(resolveHandle('alice.test', answering(['did=did:web:alice.test']))).rejects.toThrow('a did:web is a document on a web server')
    await expect(resolveHandle('alice.test', answering(['did=']))).rejects.toThrow('says "", which is not a did:plc identifier')
    const page = await resolveHandle('alice.test', answering([], `<html>\n${'x'.repeat(1_000)}`)).catch((error: unknown) => error)
    expect(page).toBeInstanceOf(HandleError)
    expect(String(page)).toMatch(/says "<html>\\nx{10,120}\.\.\.", which/)
  })

  it('says what was asked where nobody answers', async () => {
    await expect(resolveHandle('alice.test', answering([], null))).rejects.toThrow('DNS has no TXT record _atproto.alice.test with did=..., and https://alice.test/.well-known/atproto-did answers nothing')
    await expect(resolveHandle('alice.test', answering(new Error('ETIMEOUT'), new Error('refused')))).rejects.toThrow(/could not be asked .*\(ETIMEOUT\), and .* does not answer \(refused\)/)
  })

  it('asks nobody about names that belong to nobody', async () => {
    const lookup = answering([`did=${ONE}`])
    for (const handle of ['alice.example', 'router.local', 'db.internal', 'a.localhost', 'handle.invalid']) await expect(resolveHandle(handle, lookup)).rejects.toThrow('reserved')
    expect(lookup.asked).toEqual([])
  })
})
