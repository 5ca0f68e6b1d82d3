// The page about resolving without believing: its examples run as they stand there, its tables say what the code does.

import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { RESOLVE_LIMITS } from '../src/client/limits.ts'
import { RESOLVE_TEXTS } from '../src/client/resolve-error.ts'
import { LEVELS } from '../src/client/resolve.ts'
import { formatVerifierKey } from '../src/core/tlog/note.ts'
import { newHome } from './support/program.ts'
import { openScene, SCENE_MIRROR, SCENE_WITNESS, type SceneServers } from './support/verified-scene.ts'

const ROOT = join(import.meta.dirname, '..')
const PAGE = readFileSync(join(ROOT, 'docs', 'client.md'), 'utf8')

describe('docs/client.md', () => {
  let opened: SceneServers
  let folder: string

  beforeAll(async () => {
    opened = await openScene(Date.now())
    folder = mkdtempSync(join(tmpdir(), 'stele-page-'))
  })

  afterAll(async () => {
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
    await opened[Symbol.asyncDispose]()
  })

  it('lists the levels, the codes and the bounds as they are', () => {
    const codes = rowsOf('Codes').map(([code = '', text = '']) => [code.replaceAll('`', ''), text])
    expect(codes).toEqual(Object.entries(RESOLVE_TEXTS))
    expect(rowsOf('Levels').map(([level]) => level)).toEqual(LEVELS.map((level) => `\`${level}\``))
    expect(rowsOf('Bounds').map(([name = '', value]) => [name.replaceAll('`', ''), Number(value)])).toEqual(Object.entries(RESOLVE_LIMITS))
  })

  it('has examples that run and print what they promise', async () => {
    const outputs = await Promise.all(blocks('js').map(runExample))
    const [witnessed = '', signed = '', mapped = '', agreed = '', followed = '', refused = '', included = '', native] = outputs
    expect(outputs.length).toBe(8)
    expect(witnessed).toContain("[ 'at://newest.alice.test' ] [ 'signed', 'included', 'witnessed' ] []")
    expect(signed).toContain(`4 operations lead to ${opened.scene.documents.newest}`)
    const by = 'the map of 307 entries, which m derived,'
    expect(mapped).toBe(`false ${opened.scene.documents.newest} ${by} has nothing newer\ntrue ${by} has no such identity\n`)
    expect(agreed).toContain('agree')
    expect(followed).toBe(`${opened.scene.documents.newest} a replay of all 307 entries has nothing newer\nAbortError\n`)
    expect(refused).toContain('NOT_FOUND')
    expect(included).toContain('indices: [ 0, 302, 303, 306 ]')
    expect(native).toBe('')
  })

  it('has commands that run and prove what they promise', async () => {
    using home = newHome()
    writeFileSync(join(home.folder, 'log.vkey'), `${opened.scene.vkey}\n`)
    writeFileSync(join(home.folder, 'witnesses.policy'), opened.scene.policy)
    writeFileSync(join(home.folder, 'map.policy'), opened.scene.mapPolicy)
    const commands = blocks('sh').join('').split('\n').filter((line) => line.startsWith('stele '))
    const last: (string | undefined)[] = []
    for (const command of commands) {
      const args = local(command.replace(/ +#.*$/, '').replaceAll('$DID', opened.scene.alice)).split(/ +/).slice(1)
      const { code, stdout, stderr } = await home.run(args, { env: { STELE_URL: opened.scene.servers.honest } })
      expect([code, stdout], stderr).toEqual([0, `${opened.scene.documents.newest}\n`])
      last.push(/(\w+) +[^\n]*\n$/.exec(stderr)?.[1])
    }
    expect(last).toEqual([...LEVELS, 'latest'])
  })

  async function runExample(code: string): Promise<string> {
    const child = spawn(process.execPath, ['--input-type=module', '-e', local(code)], { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] })
    let [stdout, stderr] = ['', '']
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
    const status = await new Promise((resolve) => child.on('close', resolve))
    if (status !== 0) throw new Error(`${code}\n${stderr}`)
    return stdout
  }

  // The page names servers, an identity, keys and a package that are elsewhere.
  function local(text: string): string {
    const { servers, alice, vkey, mapVkey } = opened.scene
    const rooms: Record<string, string> = { '': 'client/index.ts', '/core': 'core/index.ts', '/node': 'client/node.ts' }
    return text
      .replaceAll('https://plc.example.com', servers.honest)
      .replaceAll('https://mirror.example.org', servers.mirror)
      .replaceAll('https://copy.example.net', servers.third)
      .replaceAll('did:plc:ewvi7nxzyoun6zhxrhs64oiz', alice)
      .replaceAll(/plc\.example\.com\/log\+[0-9a-f]{8}\+[\w+/]+=*/g, vkey)
      .replaceAll(/plc\.example\.com\/log\/map\+[0-9a-f]{8}\+[\w+/]+=*/g, mapVkey)
      .replaceAll(/mirror\.example\.org\/rules-v1\+[0-9a-f]{8}\+[\w+/]+=*/g, formatVerifierKey(SCENE_MIRROR))
      .replaceAll(/witness\.example\+[0-9a-f]{8}\+[\w+/]+=*/g, formatVerifierKey(SCENE_WITNESS))
      .replaceAll(/'stele-client(\/\w+)?'/g, (_, room = '') => `'${join(ROOT, 'src', rooms[String(room)] ?? '')}'`)
  }
})

function blocks(language: string): string[] {
  return [...PAGE.matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\`$`, 'gm'))].map(([, code = '']) => code)
}

/** The rows of a section's first table, without its heading. */
function rowsOf(section: string): string[][] {
  const [, text = ''] = PAGE.split(`\n## ${section}\n`)
  const lines = (text.split('\n## ')[0] ?? '').split('\n').filter((line) => line.startsWith('| '))
  return lines.slice(2).map((line) => line.split('|').slice(1, -1).map((cell) => cell.trim()))
}
