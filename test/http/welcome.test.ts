import { describe, expect, it } from 'vitest'
import { formatVerifierKey } from '../../src/core/tlog/note.ts'
import { ROUTES } from '../../src/http/router.ts'
import { COUNTER_KEY, COUNTER_ORIGIN, openCounter } from '../support/counter.ts'

const BROWSER = 'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8'

describe('GET /', () => {
  it('says in JSON whose log this is and what may be asked', async () => {
    await using counter = await openCounter()
    await counter.fill(2)
    const reply = await counter.ask('/')
    expect(reply.headers).toMatchObject({ 'content-type': 'application/json; charset=utf-8', vary: 'Accept, Accept-Encoding' })
    expect(JSON.parse(reply.text)).toEqual({
      origin: COUNTER_ORIGIN,
      version: '1.2.3',
      vkeys: [formatVerifierKey(COUNTER_KEY)],
      size: 2,
      published: 0,
      endpoints: ROUTES.map(({ method, path, summary }) => ({ method, path, summary })),
    })
    for (const Accept of ['*/*', 'application/json', 'application/json, text/html', 'image/png']) {
      expect((await counter.ask('/', { headers: { Accept } })).text).toBe(reply.text)
    }
  })

  it('says it to browsers in HTML, everything escaped', async () => {
    const name = '<script>"&\''
    await using counter = await openCounter({ ports: { origin: name } })
    await counter.store.setSigner('guard', { guardId: 'guard', vkeys: ['<b>+1234'] })
    const { headers, text } = await counter.ask('/', { headers: { Accept: BROWSER } })
    expect(headers).toMatchObject({ 'content-type': 'text/html; charset=utf-8', vary: 'Accept, Accept-Encoding' })
    expect(headers['content-security-policy']).toContain("default-src 'none'")
    expect(text).toContain('<h1>&#60;script&#62;&#34;&#38;&#39;</h1>')
    expect(text).toContain('&#60;b&#62;+')
    expect(text).not.toContain('<script')
    expect(text).not.toContain('<b>')
    for (const { method, path, summary } of ROUTES) expect(text).toContain(`<tr><td><code>${method} ${path}</code></td><td>${summary}</td></tr>`)
  })
})
