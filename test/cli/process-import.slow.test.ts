import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { newHome } from '../support/program.ts'
import { describeVectors, readVectors } from '../support/vectors.ts'

describeVectors('a log that begins with the history of another directory', () => {
  it('is created, filled by an import that is repeated, and served', async () => {
    using home = newHome()
    const vectors = readVectors('plc/valid')
    for (const { name, json } of vectors) writeFileSync(join(home.folder, `${name}.json`), JSON.stringify(json))
    const files = vectors.map(({ name }) => `${name}.json`)

    expect(await home.run(['import', ...files, '--data', 'data'])).toMatchObject({ code: 1, stderr: expect.stringContaining('stele init') as string })
    expect(await home.run(['init', '--origin', 'process.test/log', '--data', 'data'])).toMatchObject({ code: 0, stdout: expect.stringMatching(/^process\.test\/log\+/) as string })
    expect(await home.run(['init', '--origin', 'process.test/log', '--data', 'data'])).toMatchObject({ code: 1 })
    expect(await home.run(['migrate', '--data', 'data'])).toMatchObject({ code: 0 })
    expect(await home.run(['import', ...files, '--data', 'data', '--source', 'old.example'])).toMatchObject({ code: 0, stdout: '' })
    const again = await home.run(['import', ...files, '--data', 'data'])
    expect(again).toMatchObject({ code: 0, stderr: expect.stringContaining('0 operations imported, 2 were there already') as string })

    const { child, line, ended } = home.start(['serve', '--port', '0', '--data', 'data'])
    const url = (await line).slice('stele listening on '.length)
    for (const { json } of vectors) {
      const did = (json as { did: string }[])[0]?.did ?? ''
      expect(JSON.parse((await home.run(['resolve', did, '--audit', '--url', url])).stdout)).toEqual(json)
    }
    expect(await home.run(['fsck', url, '--vkey', 'data/log.vkey'])).toMatchObject({ code: 0, stdout: expect.stringContaining('process.test/log') as string })
    child.kill('SIGINT')
    child.kill('SIGINT')
    expect((await ended).code).toBe(0)
  })
})
