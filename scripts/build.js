// Emits the publishable package: JavaScript and types, into `dist/` or the folder that is named. Run by `npm run build`.

import { execFileSync } from 'node:child_process'
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const [dist = 'dist'] = process.argv.slice(2)

rmSync(dist, { recursive: true, force: true })
execFileSync(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json', '--outDir', dist], { stdio: 'inherit' })

// What is in src/ here is at the top there, and the mirror, which is beside src/ here, is in mirror/ there.
cpSync(join(dist, 'src'), dist, { recursive: true })
rmSync(join(dist, 'src'), { recursive: true })
rmSync(join(dist, 'package.json'), { force: true })
for (const name of readdirSync(join(dist, 'mirror'))) rewrite(join(dist, 'mirror', name), [["'../package.json'", "'../../package.json'"], ["'../src/", "'../"]])
for (const name of readdirSync(join(dist, 'cli'))) rewrite(join(dist, 'cli', name), [["'../../mirror/", "'../mirror/"]])

/** @type {(file: string, changes: [string, string][]) => void} */
function rewrite(file, changes) {
  writeFileSync(file, changes.reduce((text, [from, to]) => text.replaceAll(from, to), readFileSync(file, 'utf8')))
}
