# Makes this machine trust registry1.myhouse.local:5443; -Uninstall undoes it. Nothing in it is secret.
#
#   powershell -ExecutionPolicy Bypass -File install.ps1 [-Fingerprint SHA256] [-Yes] [-DryRun] [-Uninstall]
#
# Written by regcert, for Windows PowerShell 5.1 and later, as Administrator. It keeps a list of what it put here: it
# writes over nothing and removes nothing that is not on it.
[CmdletBinding()]
param(
    [string] $Fingerprint = '',
    [switch] $Yes,
    [switch] $DryRun,
    [switch] $Uninstall
)
Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'

$registry = 'registry1.myhouse.local:5443'
# Of Docker on Windows Server, for each name and port: the registry without its colons. The first names the list.
$directories = @(
    'registry1.myhouse.local5443',
    'registry15443'
)
# The root to stay comes first; there are two while the authority is being rotated.
$roots = @(
    @{ Stem = 'root-cert-myhouse.local-bac5c0c2'; Base64 = 'MIICNjCCAdugAwIBAgIQcrpWi5y9CR7KhG4JFXwAXTAKBggqhkjOPQQDAjBPMQswCQYDVQQGEwJDQTELMAkGA1UECAwCT04xCzAJBgNVBAoMAk5BMSYwJAYDVQQDDB1mZDAwOjoxMiBSb290IENBIDIwMjYuMTEuMjEuMTAeFw0yNjExMjEwOTM1MTZaFw0zNjExMTgwOTM1MTVaME8xCzAJBgNVBAYTAkNBMQswCQYDVQQIDAJPTjELMAkGA1UECgwCTkExJjAkBgNVBAMMHWZkMDA6OjEyIFJvb3QgQ0EgMjAyNi4xMS4yMS4xMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAELl4MwoWLcmJZScA3Lp1itlXfb3feQadrUeMeAsnmqozUvhAqk4SbvgfLqQ5q+2jGVDbvOhHxw5fKQqmQuhZjoaOBmDCBlTAOBgNVHQ8BAf8EBAMCAQYwUAYDVR0eAQH/BEYwRKA0MA6CDG5vbmUuaW52YWxpZDAihyD9AAAAAAAAAAAAAAAAAAAS/////////////////////6EMMAqHCAAAAAAAAAAAMB0GA1UdDgQWBBRkkvPIZUBpuuO/bPbI7VjXC1zorDASBgNVHRMBAf8ECDAGAQH/AgEBMAoGCCqGSM49BAMCA0kAMEYCIQCp+ZPGkDYu0kMMrBwdqimgHDOdywlCibVzgqrikglubAIhAKmWv96C+ezF4UeAU5tSkYbrhtQLpoQc93dpVzVtAlIM' }
)

function Stop-Here([string] $Message, [string] $Hint, [int] $Code = 1) {
    [Console]::Error.WriteLine("error: $Message")
    if ($Hint) { [Console]::Error.WriteLine("hint: $Hint") }
    exit $Code
}

# From the certificate's own bytes: upper-case pairs joined by colons.
function Get-Fingerprint([byte[]] $Bytes) {
    $sha256 = [System.Security.Cryptography.SHA256]::Create()
    try { return [BitConverter]::ToString($sha256.ComputeHash($Bytes)).Replace('-', ':') } finally { $sha256.Dispose() }
}

# Any usual spelling: with colons or without, any case, with `SHA256:` before it.
function Get-Digits([string] $Text) {
    return ($Text.ToUpperInvariant() -replace '^.*=', '' -replace '^\s*SHA-?256[:\s]*', '' -replace '[:\s-]', '')
}

function Test-Administrator {
    $identity = [Security.Principal.WindowsIdentity]::GetCurrent()
    $principal = New-Object Security.Principal.WindowsPrincipal($identity)
    return $principal.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)
}

function Use-Store([scriptblock] $Action) {
    $store = New-Object Security.Cryptography.X509Certificates.X509Store('Root', 'LocalMachine')
    $store.Open([Security.Cryptography.X509Certificates.OpenFlags]::ReadWrite)
    try { & $Action $store } finally { $store.Close() }
}

# What of the store has this fingerprint.
function Find-Root($Store, [string] $Wanted) {
    return @($Store.Certificates | Where-Object { (Get-Fingerprint $_.RawData) -eq $Wanted })
}

# `root FINGERPRINT` or `file FINGERPRINT PATH`, one a line: what this script put here.
function Read-List {
    if (Test-Path -LiteralPath $list) { return @(Get-Content -LiteralPath $list) }
    return @()
}

function Get-FileState([string] $Path) {
    if (Test-Path -LiteralPath $Path -PathType Leaf) { return Get-Fingerprint ([IO.File]::ReadAllBytes($Path)) }
    return ''
}

# ---- what is wanted ----------------------------------------------------------

Write-Host "${registry}, root certificate:"
foreach ($root in $roots) {
    $root.Bytes = [Convert]::FromBase64String($root.Base64)
    $root.Fingerprint = Get-Fingerprint $root.Bytes
    Write-Host "  SHA-256 $($root.Fingerprint)"
    $lines = $root.Base64 -replace '(.{64})(?=.)', "`$1`n"
    $root.Pem = [Text.Encoding]::ASCII.GetBytes("-----BEGIN CERTIFICATE-----`n$lines`n-----END CERTIFICATE-----`n")
}
if ($Fingerprint) {
    $given = Get-Digits $Fingerprint
    if ($given -notmatch '^[0-9A-F]{64}$') { Stop-Here 'a SHA-256 fingerprint has 64 hexadecimal digits' '' 2 }
    if (-not @($roots | Where-Object { (Get-Digits $_.Fingerprint) -eq $given })) {
        Stop-Here 'this is not the root certificate with that fingerprint: nothing was changed' 'ask the administrator for the fingerprint, and for this script'
    }
}
if (-not (Test-Administrator)) {
    Stop-Here 'only an administrator may change what this machine trusts' 'open PowerShell with `Run as administrator`, and run this there'
}

$list = Join-Path $env:ProgramData "regcert\trust\$($directories[0]).txt"
$docker = Join-Path $env:ProgramData 'docker'
$old = @(Read-List)
$wanted = @()
if (-not $Uninstall) {
    foreach ($root in $roots) {
        $wanted += @{ Line = "root $($root.Fingerprint)"; Root = $root; Path = '' }
        # Docker on Windows Server reads it at each use.
        if ((Test-Path -LiteralPath $docker) -or (Get-Service -Name docker -ErrorAction SilentlyContinue)) {
            foreach ($directory in $directories) {
                $path = Join-Path $docker "certs.d\$directory\$($root.Stem).crt"
                $wanted += @{ Line = "file $(Get-Fingerprint $root.Pem) $path"; Root = $root; Path = $path }
            }
        }
    }
}

# ---- what differs ------------------------------------------------------------

$writes = @()
$new = @()
foreach ($item in $wanted) {
    if ($item.Path) { $state = Get-FileState $item.Path } else { $state = Use-Store { param($store) if (Find-Root $store $item.Root.Fingerprint) { 'there' } else { '' } } }
    if (-not $state) {
        $writes += $item
        $new += $item.Line
    } elseif ($item.Path -and $state -ne (Get-Fingerprint $item.Root.Pem)) {
        Stop-Here "``$($item.Path)`` is there and not from this script: nothing was changed" 'look at it; move it away, then run this again'
    } elseif ($old -contains $item.Line) {
        $new += $item.Line
    }
}
$lines = @($wanted | ForEach-Object { $_.Line })
$removals = @($old | Where-Object { $lines -notcontains $_ })
if (-not $writes -and -not $removals) {
    Write-Host 'nothing to do'
    exit 0
}

if ($DryRun) { Write-Host 'this would' } else { Write-Host 'this will' }
foreach ($item in $writes) {
    if ($item.Path) { Write-Host "  write   $($item.Path)" } else { Write-Host "  add     $($item.Line) to Cert:\LocalMachine\Root" }
}
foreach ($line in $removals) { Write-Host "  remove  $line" }
if ($DryRun) { exit 0 }
if (-not $Yes -and -not $Fingerprint -and -not $Uninstall) {
    $answer = Read-Host 'Did the administrator tell you this fingerprint, and shall this be done? [y/N]'
    if ($answer -notmatch '^(y|yes)$') { Stop-Here 'not confirmed: nothing was changed' '' }
}

# ---- the change --------------------------------------------------------------

# The list comes first: what is not on it would be taken for a foreign one.
[void] [IO.Directory]::CreateDirectory([IO.Path]::GetDirectoryName($list))
Set-Content -LiteralPath $list -Encoding ASCII -Value @($old + $new | Select-Object -Unique)
foreach ($item in $writes) {
    if ($item.Path) {
        [void] [IO.Directory]::CreateDirectory([IO.Path]::GetDirectoryName($item.Path))
        [IO.File]::WriteAllBytes("$($item.Path).new", $item.Root.Pem)
        [IO.File]::Move("$($item.Path).new", $item.Path)
    } else {
        Use-Store { param($store) $store.Add((New-Object Security.Cryptography.X509Certificates.X509Certificate2(, $item.Root.Bytes))) }
    }
}
foreach ($line in $removals) {
    $kind, $digest, $path = $line -split ' ', 3
    if ($kind -eq 'root') {
        Use-Store { param($store) foreach ($certificate in (Find-Root $store $digest)) { $store.Remove($certificate) } }
    } elseif ((Get-FileState $path) -eq $digest) {
        Remove-Item -LiteralPath $path
        $parent = [IO.Path]::GetDirectoryName($path)
        if (-not (Get-ChildItem -LiteralPath $parent -Force)) { Remove-Item -LiteralPath $parent }
    } elseif (Test-Path -LiteralPath $path) {
        Write-Host "``$path`` was changed by hand and stays"
    }
}
if ($new) { Set-Content -LiteralPath $list -Encoding ASCII -Value $new } else { Remove-Item -LiteralPath $list }
Write-Host 'done'
if (Test-Path -LiteralPath (Join-Path $env:ProgramFiles 'Docker\Docker\Docker Desktop.exe')) {
    Write-Host 'left to you: restart Docker Desktop, which reads the store at its start'
}
