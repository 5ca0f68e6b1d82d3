// Every example of the page for those who point a program at a directory, run as it stands there.

import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openDirectory, readKey, untilPublished, type Directory } from './directory.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const PAGE = readFileSync(join(ROOT, 'docs', 'clients.md'), 'utf8')
const URL = 'https://plc.example.com'
const DID = 'did:plc:ewvi7nxzyoun6zhxrhs64oiz'
const KEY = /plc\.example\.com\/log\+[0-9a-f]{8}\+[\w+/]+=*/

describe('docs/clients.md', () => {
  let directory: Directory
  let did: string
  let key: string
  const [maker = '', ...others] = blocks('js')

  beforeAll(async () => {
    directory = await openDirectory()
    key = await readKey(directory.url)
    const said = runExample(maker)
    ;[did = ''] = /did:plc:[a-z2-7]{24}/.exec(said) ?? []
    expect(said).toContain("alsoKnownAs: [ 'at://alice.example.com' ]")
    await untilPublished(directory.url, 1)
  })

  afterAll(() => directory[Symbol.asyncDispose]())

  it('has examples, the first of which made an identity', () => {
    expect(did).not.toBe('')
    expect(others.length).toBe(4)
  })

  it.each(others.map((code) => [/from '([^']*)'/.exec(code)?.[1] ?? '', code]))('resolves with %s', (_, code) => {
    const said = runExample(code)
    expect(said).toContain(did)
    expect(said).toContain('alice.example.com')
  })

  it('says where to look with nothing but curl', async () => {
    const lines = blocks('sh').join('').split('\n').filter((line) => line.startsWith('curl '))
    expect(lines.length).toBeGreaterThan(1)
    for (const line of lines) {
      const [, url = ''] = /^curl -s (\S+)$/.exec(line) ?? []
      expect((await fetch(local(url))).status, line).toBe(200)
    }
  })

  /** What an example writes; throws where it fails. */
  function runExample(code: string): string {
    const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', local(code)], { cwd: ROOT, encoding: 'utf8', timeout: 50_000 })
    if (status !== 0) throw new Error(`${code}\n${stderr}`)
    return stdout
  }

  // The examples name a directory, an identity, a key and a package that are elsewhere; and one of them asks nothing local without this.
  function local(text: string): string {
    return text
      .replace(`{ plcUrl: '${URL}' }`, `{ plcUrl: '${URL}', fetch }`)
      .replaceAll(URL, directory.url)
      .replaceAll(DID, did ?? DID)
      .replace(KEY, key)
      .replaceAll(/'stele-client(\/core)?'/g, (_, core?: string) => `'${join(ROOT, 'src', core === undefined ? 'client' : 'core', 'index.ts')}'`)
  }
})

function blocks(language: string): string[] {
  return [...PAGE.matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\`$`, 'gm'))].map(([, code = '']) => code)
}
