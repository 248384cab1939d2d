# Makes this machine a node of an Anchor server. In PowerShell:
#
#     & ([scriptblock]::Create((irm URL/join.ps1))) URL TOKEN [what the machine gives, such as --slots 2 --ram 4GiB]
#
# It needs no administrator, and writes to one folder, .anchor in your own:
#     venv\       Anchor, the server's own version, and what it needs from the Python package index
#     data\       what the agent keeps: its key, its id, its work
#     agent.cmd   starts the agent; agent.log is what it says
# Then it enrols this machine with the token, and starts the agent without a window, until you sign out. Running it again
# is harmless: a machine that has joined stays the node it is, gets the server's version, and its agent is started.
#
# What may be set before it: $env:JOIN_FOLDER (another folder), $env:JOIN_PYTHON (the Python to use, 3.11 or newer).

param(
    [Parameter(Mandatory = $true)][string]$Url,
    [Parameter(Mandatory = $true)][string]$Token,
    [Parameter(ValueFromRemainingArguments = $true)][string[]]$Gives = @()
)

$ErrorActionPreference = 'Stop'
$Wheel = '@WHEEL@'
$Sha256 = '@SHA256@'
$Package = '@PACKAGE@'
$Url = $Url.TrimEnd('/')
$Place = if ($env:JOIN_FOLDER) { $env:JOIN_FOLDER } else { Join-Path $HOME '.anchor' }
$Python = Join-Path $Place 'venv\Scripts\python.exe'
$Anchor = Join-Path $Place 'venv\Scripts\anchor.exe'
$Data = Join-Path $Place 'data'

function Invoke-Checked([string]$Program, [string[]]$Arguments) {
    & $Program @Arguments
    if ($LASTEXITCODE -ne 0) { throw "$Program ended with $LASTEXITCODE; what it said is above." }
}

function Test-Python([string]$Program) {
    try { & $Program -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>$null } catch { return $false }
    return $LASTEXITCODE -eq 0
}

New-Item -ItemType Directory -Force $Place | Out-Null

if (-not (Test-Path $Python)) {
    $Names = if ($env:JOIN_PYTHON) { @($env:JOIN_PYTHON) } else { @('python', 'python3', 'py') }
    $Found = $Names | Where-Object { Test-Python $_ } | Select-Object -First 1
    if (-not $Found) {
        throw 'Anchor needs Python 3.11 or newer, and there is none here. Install it (winget install Python.Python.3.13) and run this again.'
    }
    Write-Host "Making $Place\venv with $Found."
    Invoke-Checked $Found @('-m', 'venv', (Join-Path $Place 'venv'))
}

$Pip = @('-m', 'pip', '--disable-pip-version-check', '--quiet', 'install')
$Mark = Join-Path $Place 'venv\anchor.sha256'
if (-not $Wheel) {
    # No public index is asked instead: whatever has that name there need not be Anchor.
    throw "This server was never installed as a package, so it has none to hand out. Install Anchor here as it was there, then: anchor join $Url TOKEN"
} elseif (-not (Test-Path $Mark) -or (Get-Content $Mark) -ne $Sha256) {
    Write-Host "Installing $Wheel. What it needs comes from the package index: that may take a minute."
    Invoke-Checked $Python ($Pip + @('--force-reinstall', '--no-deps', "$Url/dist/$Wheel#sha256=$Sha256"))
    Invoke-Checked $Python ($Pip + @($Package))
    Set-Content $Mark $Sha256
}

$Known = Join-Path $Data 'agent\node.id'
$Server = Join-Path $Place 'server'
if ((Test-Path $Known) -and (Test-Path $Server) -and ((Get-Content $Server) -eq $Url)) {
    Write-Host "This machine is $(Get-Content $Known) already; the token was not used."
} else {
    Invoke-Checked $Anchor (@('join', $Url, $Token, '--no-start', '--data', $Data) + $Gives)
    Set-Content $Server $Url
}

$Words = (@('agent', $Url, '--data', $Data) + $Gives | ForEach-Object { "`"$_`"" }) -join ' '
$Launcher = Join-Path $Place 'agent.cmd'
Set-Content $Launcher "@rem Starts the agent of this machine.`r`n@`"$Anchor`" $Words >> `"$Place\agent.log`" 2>&1"
Start-Process -FilePath $Launcher -WindowStyle Hidden
Write-Host "Its agent runs in the background; what it says is in $Place\agent.log"
Write-Host "After you signed out, start it with $Launcher"
