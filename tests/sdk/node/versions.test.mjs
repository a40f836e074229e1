// The runtime and the clients are the majors that this suite is about.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { contract } from './gateway.mjs'

const major = (version) => Number(version.split('.')[0])

test('the runtime is the one that the suite brings', () => {
    assert.equal(major(process.versions.node), contract.versions.node)
})

for (const [name, wanted] of Object.entries(contract.versions.node_packages)) {
    test(`${name} is major ${wanted}`, () => {
        const path = new URL(`node_modules/${name}/package.json`, import.meta.url)
        assert.equal(major(JSON.parse(readFileSync(path, 'utf8')).version), wanted)
    })
}
