# services.truechimer of NixOS. What is configured is the TOML file, as an attribute set (truechimer.toml(5)).
{
  config,
  lib,
  pkgs,
  ...
}:

let
  cfg = config.services.truechimer;
  format = pkgs.formats.toml { };
  # One for each process, as in packaging/sysusers.d.
  users = [
    "clock"
    "engine"
    "net"
    "serve"
    "kex"
    "ntske"
    "key"
    "samba"
    "refclock"
  ];
in
{
  options.services.truechimer = {
    enable = lib.mkEnableOption "truechimer, NTP client and server";
    package = lib.mkOption {
      type = lib.types.package;
      description = "The package with the programs and units.";
    };
    settings = lib.mkOption {
      type = format.type;
      default = { };
      example = lib.literalExpression ''{ source = [ { address = "time.example.org"; mode = "nts"; } ]; }'';
      description = "The configuration, as in truechimer.toml(5). Secrets do not belong here: the store is readable by all.";
    };
    options = lib.mkOption {
      type = lib.types.listOf lib.types.str;
      default = [ ];
      description = "Options of truechimerd(8); never --new-record.";
    };
    openFirewall = lib.mkOption {
      type = lib.types.bool;
      default = false;
      description = "Open UDP 123 and TCP 4460, for a server.";
    };
    waitSync = lib.mkEnableOption "waiting for the clock before time-sync.target";
    metrics = lib.mkEnableOption "metrics for Prometheus";
  };

  config = lib.mkIf cfg.enable {
    services.timesyncd.enable = lib.mkDefault false;
    environment.systemPackages = [ cfg.package ];
    environment.etc."truechimer/truechimer.toml".source = format.generate "truechimer.toml" cfg.settings;
    systemd.packages = [ cfg.package ];
    systemd.services.truechimer = {
      wantedBy = [ "multi-user.target" ];
      environment.OPTIONS = lib.mkForce (lib.escapeShellArgs cfg.options);
      restartTriggers = [ config.environment.etc."truechimer/truechimer.toml".source ];
    };
    systemd.services.truechimer-wait.wantedBy = lib.mkIf cfg.waitSync [ "multi-user.target" ];
    systemd.sockets.truechimer-metrics.wantedBy = lib.mkIf cfg.metrics [ "sockets.target" ];
    systemd.tmpfiles.packages = [ cfg.package ];
    networking.firewall = lib.mkIf cfg.openFirewall {
      allowedUDPPorts = [ 123 ];
      allowedTCPPorts = [ 4460 ];
    };
    users.groups = lib.genAttrs ([ "truechimer" ] ++ map (name: "truechimer-${name}") users) (_: { });
    users.users = lib.genAttrs (map (name: "truechimer-${name}") users) (name: {
      isSystemUser = true;
      group = name;
      description = "truechimer";
    });
  };
}
