# The programs and units, below the folder of the package instead of /usr.
# In the released tarball (cargo xtask source) the crates are in `vendor` and .cargo/config.toml names them; a tree of git has
# them fetched by their checksums in Cargo.lock.
{
  lib,
  stdenv,
  cargo,
  rustc,
  rustPlatform,
}:

let
  isReleased = builtins.pathExists ../../vendor;
in
stdenv.mkDerivation {
  pname = "truechimer";
  version = "0.1.0";
  src = lib.cleanSource ../..;

  nativeBuildInputs = [ cargo rustc ] ++ lib.optional (!isReleased) rustPlatform.cargoSetupHook;
  cargoDeps =
    if isReleased then null else rustPlatform.importCargoLock { lockFile = ../../Cargo.lock; };

  # The governor's earliest time: that of the sources.
  SOURCE_DATE_EPOCH = "1795910400";

  buildPhase = ''
    runHook preBuild
    export CARGO_HOME=$TMPDIR/cargo CARGO_NET_OFFLINE=true
    sh packaging/build.sh
    cargo xtask completions
    runHook postBuild
  '';

  # The tests start daemons, which a builder does not permit.
  doCheck = false;

  installPhase = ''
    runHook preInstall
    BINDIR=/bin SBINDIR=/sbin UNITDIR=/lib/systemd/system DOCDIR=/share/doc/truechimer COMPLETIONS=target/completions \
      sh packaging/install.sh $out target/release systemd
    cp -a $out/usr/lib/. $out/lib/
    cp -a $out/usr/share/. $out/share/
    rm -r $out/usr $out/etc/dhcp
    ln -sf ../lib/truechimer/truechimerd $out/sbin/truechimerd
    for unit in $out/lib/systemd/system/*; do
      substituteInPlace $unit \
        --replace-quiet /usr/sbin/ $out/sbin/ \
        --replace-quiet /usr/bin/ $out/bin/ \
        --replace-quiet /usr/lib/truechimer/ $out/lib/truechimer/ \
        --replace-quiet 'ExecPaths=/usr/lib -/usr/lib32 -/usr/lib64' 'ExecPaths=/nix/store'
    done
    runHook postInstall
  '';

  meta = {
    description = "NTP client and server in which the network cannot reach the clock";
    # Its own are the first two; the others are those of crates that are linked.
    license = with lib.licenses; [ asl20 mit bsd3 isc ];
    platforms = [ "x86_64-linux" "aarch64-linux" ];
    mainProgram = "chimerctl";
  };
}
